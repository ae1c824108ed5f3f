package speaker

import (
	"context"
	"fmt"
	"net"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

const namespace = speakertest.Namespace

// node is a host that runs a speaker.
type node struct {
	*speakertest.Node
	t testing.TB
}

// newNode plugs a node into the LAN and tells the API server of it. Its speaker is started by start.
func newNode(t testing.TB, l nettest.LAN, name string, cidrs ...string) *node {
	t.Helper()
	n := &node{api.NewNode(t, l, name, cidrs...), t}
	n.Forward()
	_, port, err := net.SplitHostPort(api.Server)
	must(t, err)
	n.Kubeconfig = api.Kubeconfig(t, net.JoinHostPort(administer(t, n.Host), port))
	create(t, n.Object())
	create(t, n.Pod())
	return n
}

func (n *node) start(flags ...string) {
	n.t.Helper()
	n.Start(append([]string{"--exclude-interfaces=adm"}, flags...)...)
}

// up starts the speaker and waits until it takes part.
func (n *node) up(flags ...string) {
	n.t.Helper()
	n.start(flags...)
	eventually(n.t, n.Name+" is ready", n.Ready)
}

// metric returns the value of a series, 0 if there is none.
func (n *node) metric(series string) float64 {
	n.t.Helper()
	v, _, err := n.Metric(series)
	must(n.t, err)
	return v
}

// counts waits until a series has a value.
func (n *node) counts(series string, want float64) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s counts %v of %s", n.Name, want, series), func() error {
		if got := n.metric(series); got != want {
			return fmt.Errorf("it counts %v", got)
		}
		return nil
	})
}

// peer returns what the node's SpeakerStatus says of a session; nothing if there is none.
func (n *node) peer(name string) v1beta1.SpeakerPeer {
	n.t.Helper()
	var s v1beta1.SpeakerStatus
	must(n.t, client.IgnoreNotFound(api.Get(context.Background(), client.ObjectKey{Name: n.Name}, &s)))
	for _, p := range s.Status.BGP.Peers {
		if p.Name == name {
			return p
		}
	}
	return v1beta1.SpeakerPeer{}
}

// says waits until the node's SpeakerStatus says so of a session.
func (n *node) says(peer, what string, ok func(v1beta1.SpeakerPeer) bool) v1beta1.SpeakerPeer {
	n.t.Helper()
	var p v1beta1.SpeakerPeer
	eventually(n.t, fmt.Sprintf("%s says of %s: %s", n.Name, peer, what), func() error {
		if p = n.peer(peer); !ok(p) {
			return fmt.Errorf("it says %+v, BFD %+v", p, p.BFD)
		}
		return nil
	})
	return p
}

func established(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionEstablished }

func watched(p v1beta1.SpeakerPeer) bool {
	return established(p) && p.BFD != nil && p.BFD.State == "Up"
}
