package bfd

import (
	"math"
	"net/netip"
	"testing"
)

// TestFind is RFC 5880 §6.3.
func TestFind(t *testing.T) {
	addr := netip.MustParseAddr
	table := newTable()
	add := func(discr uint32, p Path, ifIndex int) {
		s := &session{machine: newMachine(0, settings(), discr, seeded(1)), name: p, path: p, leaveAt: never}
		s.sender = &udpSender{ifIndex: ifIndex}
		table.add(s)
	}
	add(1, Path{Peer: addr(addrB)}, 0)
	add(2, Path{Peer: addr(addrB), Local: addr(addrA)}, 0)
	add(3, Path{Peer: addr(addrB), Interface: "eth3"}, 3)
	add(4, Path{Peer: addr("fe80::1"), Interface: "eth3"}, 3)
	add(5, Path{Peer: addr("fe80::1"), Interface: "eth4"}, 4)
	add(6, Path{Peer: addr(addrB), MultiHop: true}, 0)
	add(7, Path{Peer: addr(addrB), VRF: "red"}, 0)
	add(8, Path{Peer: addr(addrB), Local: addr(addrA), Interface: "eth8"}, 0)
	table.byDiscr[8].sender = nil // there is no eth8

	v4, v6 := Scope{}, Scope{IPv6: true}
	tests := []struct {
		name  string
		scope Scope
		from  Meta
		discr uint32
		want  uint32
	}{
		{"by discriminator", v4, Meta{Peer: addr(addrB), Local: addr("10.0.0.7"), IfIndex: 9}, 1, 1},
		{"by discriminator, another peer", v4, Meta{Peer: addr("10.0.0.3"), IfIndex: 9}, 1, 0},
		{"by discriminator, another interface", v4, Meta{Peer: addr(addrB), IfIndex: 9}, 3, 0},
		{"by discriminator, another local address", v4, Meta{Peer: addr(addrB), Local: addr("10.0.0.7"), IfIndex: 9}, 2, 0},
		{"by discriminator, over several hops", Scope{MultiHop: true}, Meta{Peer: addr(addrB)}, 1, 0},
		{"by discriminator, another VRF", Scope{VRF: "blue"}, Meta{Peer: addr(addrB)}, 7, 0},
		{"unknown discriminator", v4, Meta{Peer: addr(addrB)}, 99, 0},
		{"by peer alone", v4, Meta{Peer: addr(addrB), Local: addr("10.0.0.7"), IfIndex: 9}, 0, 1},
		{"by local address", v4, Meta{Peer: addr(addrB), Local: addr(addrA), IfIndex: 9}, 0, 2},
		{"by interface", v4, Meta{Peer: addr(addrB), Local: addr(addrA), IfIndex: 3}, 0, 3},
		{"link-local", v6, Meta{Peer: addr("fe80::1"), IfIndex: 4}, 0, 5},
		{"link-local elsewhere", v6, Meta{Peer: addr("fe80::1"), IfIndex: 5}, 0, 0},
		{"several hops", Scope{MultiHop: true}, Meta{Peer: addr(addrB)}, 0, 6},
		{"VRF", Scope{VRF: "red"}, Meta{Peer: addr(addrB)}, 0, 7},
		{"unknown peer", v4, Meta{Peer: addr("10.0.0.3")}, 0, 0},
	}
	for _, tt := range tests {
		var got uint32
		if s := table.find(tt.scope, tt.from, tt.discr); s != nil {
			got = s.discr
		}
		if got != tt.want {
			t.Errorf("%s: session %d, want %d", tt.name, got, tt.want)
		}
	}

	for len(table.due) > 0 {
		table.remove(table.due[0])
	}
	if len(table.named)+len(table.byDiscr)+len(table.byPeer) > 0 {
		t.Errorf("left over: %+v", table)
	}
}

// TestSchedule compares the heap with looking through all sessions.
func TestSchedule(t *testing.T) {
	r := seeded(1)
	var sched schedule
	var all []*session
	for range 50 {
		s := newScheduled(instant(r.IntN(1000)))
		all = append(all, s)
		sched.add(s)
	}
	for range 10000 {
		s := all[r.IntN(len(all))]
		s.nextTx = instant(r.IntN(1000))
		sched.moved(s)
		first := never
		for _, s := range all {
			first = min(first, s.next())
		}
		if sched.first() != first {
			t.Fatalf("the first is due at %d, not at %d", first, sched.first())
		}
	}
}

func newScheduled(at instant) *session {
	m := &machine{nextTx: at, detectAt: never, echoAt: never, echoDetectAt: never}
	return &session{machine: m, at: at, leaveAt: never}
}

// BenchmarkSchedule moves one session of a thousand to its next step.
func BenchmarkSchedule(b *testing.B) {
	r := seeded(1)
	var sched schedule
	for range 1000 {
		sched.add(newScheduled(instant(r.Int64N(int64(300 * ms)))))
	}
	b.ReportAllocs()
	for b.Loop() {
		s := sched[0]
		s.nextTx += 225*ms + instant(r.Int64N(int64(75*ms)))
		if s.nextTx > math.MaxInt64/2 {
			b.Fatal("time ran out")
		}
		sched.moved(s)
	}
}
