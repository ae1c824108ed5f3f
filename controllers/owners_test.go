package controllers

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func speakerStatus(name string, change ...func(*v1beta1.SpeakerStatusStatus)) v1beta1.SpeakerStatus {
	s := v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, f := range change {
		f(&s.Status)
	}
	return s
}

func misses(nodes ...string) func(*v1beta1.SpeakerStatusStatus) {
	return func(s *v1beta1.SpeakerStatusStatus) { s.Members.Missing = nodes }
}

func answers(addresses ...string) func(*v1beta1.SpeakerStatusStatus) {
	return func(s *v1beta1.SpeakerStatusStatus) { s.L2.Addresses = addresses }
}

func claim(epoch int64, addresses ...string) func(*v1beta1.SpeakerStatusStatus) {
	return func(s *v1beta1.SpeakerStatusStatus) {
		s.L2.Claims = append(s.L2.Claims, v1beta1.SpeakerClaim{Epoch: epoch, Addresses: addresses})
	}
}

func standsIn(node string, addresses ...string) func(*v1beta1.SpeakerStatusStatus) {
	return func(s *v1beta1.SpeakerStatusStatus) {
		s.L2.StandIns = append(s.L2.StandIns, v1beta1.SpeakerStandIn{Node: node, Addresses: addresses})
	}
}

// TestCounting: who counts, of n1, n2 and n3.
func TestCounting(t *testing.T) {
	for _, c := range []struct {
		name  string
		ready string
		list  []v1beta1.SpeakerStatus
		want  string
	}{
		{"all", "n1 n2 n3", []v1beta1.SpeakerStatus{speakerStatus("n1"), speakerStatus("n2"), speakerStatus("n3")}, "n1 n2 n3"},
		{"a Pod that is not Ready", "n1 n3", []v1beta1.SpeakerStatus{speakerStatus("n1"), speakerStatus("n2"), speakerStatus("n3")}, "n1 n3"},
		{"a node is dead", "n1 n2 n3", []v1beta1.SpeakerStatus{speakerStatus("n1"), speakerStatus("n2", misses("n1")), speakerStatus("n3")}, "n2 n3"},
		{"who is not Ready misses nobody", "n1 n3", []v1beta1.SpeakerStatus{speakerStatus("n1"), speakerStatus("n2", misses("n1", "n3")), speakerStatus("n3")}, "n1 n3"},
		{"cut off, n1 misses the others as they miss it", "n1 n2 n3",
			[]v1beta1.SpeakerStatus{speakerStatus("n1", misses("n2", "n3")), speakerStatus("n2", misses("n1")), speakerStatus("n3", misses("n1"))}, "n2 n3"},
		{"dead, and missed another when it wrote last", "n1 n2 n3",
			[]v1beta1.SpeakerStatus{speakerStatus("n1", misses("n2")), speakerStatus("n2", misses("n1")), speakerStatus("n3", misses("n1"))}, "n2 n3"},
		{"two that miss each other", "n1 n2", []v1beta1.SpeakerStatus{speakerStatus("n1", misses("n2")), speakerStatus("n2", misses("n1"))}, "n1 n2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ready := map[string]bool{}
			for n := range strings.FieldsSeq(c.ready) {
				ready[n] = true
			}
			var got []string
			for _, s := range counting(c.list, ready) {
				got = append(got, s.Name)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%q count, want %q", s, c.want)
			}
		})
	}
}

func TestOwnersOf(t *testing.T) {
	for _, c := range []struct {
		name string
		list []v1beta1.SpeakerStatus
		want string // of 192.0.2.1, .2, .3 and 2001:db8::1
	}{
		{"nobody", nil, "- - - -"},
		{"ranges", []v1beta1.SpeakerStatus{speakerStatus("n1", answers("192.0.2.1-192.0.2.2")), speakerStatus("n2", answers("192.0.2.3", "2001:db8::1"))}, "n1 n1 n2 n2"},
		{"the newer claim counts", []v1beta1.SpeakerStatus{
			speakerStatus("n1", answers("192.0.2.1-192.0.2.3"), claim(3, "192.0.2.1-192.0.2.2"), claim(9, "192.0.2.3")),
			speakerStatus("n2", answers("192.0.2.1-192.0.2.3"), claim(4, "192.0.2.1-192.0.2.3")),
		}, "n2 n2 n1 -"},
		{"of two of one age the first by name", []v1beta1.SpeakerStatus{speakerStatus("n2", answers("192.0.2.1")), speakerStatus("n1", answers("192.0.2.1"))}, "n1 - - -"},
		{"a claim alone announces nothing", []v1beta1.SpeakerStatus{speakerStatus("n1", claim(3, "192.0.2.1"))}, "- - - -"},
		{"a stand-in leads to the node that restarts", []v1beta1.SpeakerStatus{speakerStatus("n2", standsIn("n1", "192.0.2.1"))}, "n1 - - -"},
		{"until somebody has it for himself", []v1beta1.SpeakerStatus{speakerStatus("n1", standsIn("n3", "192.0.2.1")), speakerStatus("n2", answers("192.0.2.1"))}, "n2 - - -"},
		{"what is no list costs nothing", []v1beta1.SpeakerStatus{speakerStatus("n1", answers("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "x", "192.0.2.9-192.0.2.1"))}, "- - - n1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var held []netip.Addr
			for _, s := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"} {
				held = append(held, netip.MustParseAddr(s))
			}
			var statuses []*v1beta1.SpeakerStatus
			for i := range c.list {
				statuses = append(statuses, &c.list[i])
			}
			owners := ownersOf(held, statuses)
			var got []string
			for _, a := range held {
				if n := owners[a].node; n != "" {
					got = append(got, n)
				} else {
					got = append(got, "-")
				}
			}
			if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" {
				t.Error(diff)
			}
			if len(slices.Collect(maps.Keys(owners))) > len(held) {
				t.Error("owners of addresses that nobody holds")
			}
		})
	}
}
