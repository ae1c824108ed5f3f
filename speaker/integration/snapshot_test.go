package integration

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
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
	s, _, web := newWeb(t, "s1", "s2")
	late, gone := netip.MustParseAddr("10.77.0.101"), netip.MustParseAddr("10.77.0.102")
	owner := s.owner(web, s.nodes...)
	other := s.but(owner)[0]
	// One more that the owner of the first has, because its only pod is there.
	create(t, endpoints("gone", owner.Name))
	short := speakertest.Service("gone", "lan", gone.String())
	short.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	create(t, short)
	s.owner(gone, owner)
	for _, n := range s.nodes {
		eventually(t, n.Name+" has a snapshot", func() bool { return n.snapshotHas(web.String()) && n.snapshotHas(gone.String()) })
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

	s.owner(gone, owner)
	must(t, api.Delete(context.Background(), short))
	create(t, endpoints("late", "s1"))
	create(t, speakertest.Service("late", "lan", late.String()))
	s.api.mend()
	eventually(t, other.Name+" is ready", other.ready)
	eventually(t, owner.Name+" plans from the API server", func() bool { return owner.metric("belfry_speaker_snapshot") == 0 })
	s.owner(late, s.nodes...)
	s.owner(web, s.nodes...)
	s.silent(gone)
}

func (n *node) snapshotHas(what string) bool {
	f, err := os.Open(filepath.Join(n.Snapshots, "snapshot"))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	text, err := gzip.NewReader(f)
	if err != nil {
		return false
	}
	b, err := io.ReadAll(text)
	return err == nil && bytes.Contains(b, []byte(what))
}

func (n *node) lives() bool {
	_, err := n.Get("http://127.0.0.1:7981/healthz")
	return err == nil
}

// TestKeyRotation replaces the gossip key while three speakers talk, once by another value and once by a new Secret as the
// controller makes it after somebody has deleted the old one.
func TestKeyRotation(t *testing.T) {
	s, _, web := newWeb(t, "k1", "k2", "k3")
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
