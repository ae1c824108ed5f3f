package integration

import (
	"context"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

const namespace = speakertest.Namespace

// node is a host that runs a speaker.
type node struct {
	*speakertest.Node
	t     testing.TB
	flags []string // besides those that all have
}

func newNode(t testing.TB, l nettest.LAN, p *proxy, name string, cidrs ...string) *node {
	t.Helper()
	n := &node{Node: api.NewNode(t, l, name, cidrs...), t: t}
	n.Kubeconfig = api.Kubeconfig(t, api.Server)
	p.open(n.Host)
	return n
}

// back is how long addresses wait for a speaker: longer than a process takes to start on a machine that has much else to do.
const back = 20 * time.Second

// start runs the speaker with the profile that forgives the longest pauses.
func (n *node) start() {
	n.t.Helper()
	n.Start(append([]string{"--failover=relaxed", "--restart-window=" + back.String()}, n.flags...)...)
}

func (n *node) mac() string { return n.MAC("eth0").String() }

func (n *node) ready() bool { return n.Ready() == nil }

// metric returns the value of a metric.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	v, found, err := n.Metric(name)
	must(n.t, err)
	if !found {
		n.t.Fatalf("%s has no metric %s", n.Name, name)
	}
	return v
}

// status returns the node's SpeakerStatus, an empty one if there is none.
func (n *node) status() v1beta1.SpeakerStatus {
	n.t.Helper()
	var s v1beta1.SpeakerStatus
	must(n.t, client.IgnoreNotFound(api.Get(context.Background(), client.ObjectKey{Name: n.Name}, &s)))
	return s
}
