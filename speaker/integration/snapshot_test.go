package integration

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/speakertest"
)

// TestRestartsWithoutTheAPIServer kills speakers while they cannot reach the API server: with a snapshot one answers
// again, without one, or with one that is cut off, it keeps starting. Then the API server is back, with news.
func TestRestartsWithoutTheAPIServer(t *testing.T) {
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", "10.77.0.9/24")
	s.nodes = []*node{newNode(t, l, s.api, "s1", "10.77.0.1/24"), newNode(t, l, s.api, "s2", "10.77.0.2/24")}
	web, late := netip.MustParseAddr("10.77.0.100"), netip.MustParseAddr("10.77.0.101")
	create(t, speakertest.Pool("lan", "10.77.0.100-10.77.0.119"))
	create(t, advertisement("lan", "lan"))
	create(t, endpoints("web", "s1"))
	create(t, speakertest.Service("web", "lan", web.String()))
	s.up()
	owner := s.owner(web, s.nodes...)
	other := s.but(owner)[0]
	for _, n := range s.nodes {
		eventually(t, n.Name+" has a snapshot", func() bool { return n.snapshotHas(web.String()) })
	}
	s.api.cut()

	_ = other.Stop(unix.SIGKILL)
	_ = owner.Stop(unix.SIGKILL)
	must(t, os.Truncate(filepath.Join(other.Snapshots, "snapshot"), 300))
	other.start()
	eventually(t, "a speaker without a snapshot lives", other.lives)
	owner.start()
	eventually(t, owner.Name+" takes part from its snapshot", owner.ready)
	if now := s.owner(web, s.nodes...); now != owner {
		t.Errorf("%s answers", now.Name)
	}
	if owner.metric("belfry_speaker_snapshot") != 1 || other.ready() || other.metric("belfry_speaker_ready") != 0 {
		t.Error("one plans from its snapshot and the other is starting; that is not what they say")
	}

	create(t, endpoints("late", "s1"))
	create(t, speakertest.Service("late", "lan", late.String()))
	s.api.mend()
	eventually(t, other.Name+" is ready", other.ready)
	eventually(t, owner.Name+" plans from the API server", func() bool { return owner.metric("belfry_speaker_snapshot") == 0 })
	s.owner(late, s.nodes...)
	s.owner(web, s.nodes...)
}

func (n *node) snapshotHas(what string) bool {
	b, err := os.ReadFile(filepath.Join(n.Snapshots, "snapshot"))
	return err == nil && bytes.Contains(b, []byte(what))
}

func (n *node) lives() bool {
	_, err := n.Get("http://127.0.0.1:7981/healthz")
	return err == nil
}

// TestKeyRotation replaces the gossip key while three speakers talk, once by another value and once by a new Secret as the
// controller makes it after somebody has deleted the old one.
func TestKeyRotation(t *testing.T) {
	s, l := newSite(t)
	l.Join(s.asker.Host, "asker", "10.77.0.9/24")
	for i, name := range []string{"k1", "k2", "k3"} {
		s.nodes = append(s.nodes, newNode(t, l, s.api, name, netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)}).String()+"/24"))
	}
	web := netip.MustParseAddr("10.77.0.100")
	create(t, speakertest.Pool("lan", "10.77.0.100-10.77.0.119"))
	create(t, advertisement("lan", "lan"))
	create(t, endpoints("web", "k1"))
	create(t, speakertest.Service("web", "lan", web.String()))
	s.up()
	owner := s.owner(web, s.nodes...)
	for _, n := range s.nodes {
		eventually(t, n.Name+" sees all", func() bool { return n.metric("belfry_members_alive") == 3 })
	}
	ctx := context.Background()
	current := func() (o corev1.Secret) {
		must(t, api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: kube.GossipSecret}, &o))
		return o
	}
	left := map[*node]float64{}
	for _, n := range s.nodes {
		left[n] = n.metric(`belfry_members_changes_total{change="leave"}`)
	}
	for _, change := range []func(){
		func() {
			o := current()
			o.Data[kube.GossipSecretKey] = kube.NewGossipKey()
			must(t, api.Update(ctx, &o))
		},
		func() {
			o := current()
			must(t, api.Delete(ctx, &o))
			must(t, api.Create(ctx, speakertest.GossipKey()))
		},
	} {
		before := map[*node]int{}
		for _, n := range s.nodes {
			before[n] = n.Said("Gossip keys changed")
		}
		change()
		for _, n := range s.nodes {
			eventually(t, n.Name+" has changed its keys", func() bool {
				return n.Said("Gossip keys changed") >= before[n]+3 && n.metric("belfry_speaker_gossip_keys") == 1
			})
		}
	}
	for _, n := range s.nodes {
		if now := n.metric(`belfry_members_changes_total{change="leave"}`); now != left[n] || n.metric("belfry_members_alive") != 3 {
			t.Errorf("%s lost members", n.Name)
		}
		if got := n.metric(`belfry_liveness_targets{state="answering"}`); n != owner && got != 1 {
			t.Errorf("%s probes the owner; %v answer", n.Name, got)
		}
		if got := n.metric(`belfry_liveness_transitions_total{state="silent"}`); got != 0 {
			t.Errorf("%s called somebody silent %v times", n.Name, got)
		}
		if got := n.metric(`belfry_liveness_dropped_packets_total{reason="authentication"}`); got != 0 {
			t.Errorf("%s dropped %v probes", n.Name, got)
		}
	}
	// One that knows the Secret as it is now, and nothing of before, is let in.
	_ = s.nodes[0].Stop(unix.SIGKILL)
	must(t, os.Remove(filepath.Join(s.nodes[0].Snapshots, "snapshot")))
	s.nodes[0].start()
	eventually(t, "it is back", func() bool { return s.nodes[0].ready() && s.nodes[0].metric("belfry_members_alive") == 3 })
}
