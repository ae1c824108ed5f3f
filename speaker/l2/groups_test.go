package l2

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

// tightJoiner holds as many groups as it has room for.
type tightJoiner struct {
	room   int
	groups map[netip.Addr]bool
	closed bool
	err    error
}

func (j *tightJoiner) JoinGroup(g netip.Addr) error {
	switch {
	case j.err != nil:
		return j.err
	case j.groups[g]:
		return unix.EADDRINUSE
	case len(j.groups) == j.room:
		return unix.ENOMEM
	}
	j.groups[g] = true
	return nil
}

func (j *tightJoiner) LeaveGroup(g netip.Addr) error {
	if !j.groups[g] {
		return unix.EADDRNOTAVAIL
	}
	delete(j.groups, g)
	return nil
}

func (j *tightJoiner) Close() error { j.closed = true; return nil }

// TestGroupsTwin: after any sequence of changes exactly the needed groups are joined, each once, on few sockets.
func TestGroupsTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var sockets []*tightJoiner
	g := &groups{open: func() (joiner, error) {
		j := &tightJoiner{room: 5, groups: map[netip.Addr]bool{}}
		sockets = append(sockets, j)
		return j, nil
	}}
	has := map[netip.Addr]bool{}
	for range 500 {
		var came, went []netip.Addr
		for low := range byte(30) {
			for high := range byte(2) { // two addresses per group
				a := netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 7: high, 15: low})
				switch {
				case rng.IntN(3) > 0:
				case has[a]:
					went = append(went, a)
					delete(has, a)
				default:
					came = append(came, a)
					has[a] = true
				}
			}
		}
		want := map[netip.Addr]bool{}
		for a := range has {
			want[netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 15: a.As16()[15]})] = true
		}
		if err := g.change(came, went); err != nil {
			t.Fatal(err)
		}
		got := map[netip.Addr]bool{}
		for _, s := range sockets {
			for a := range s.groups {
				if got[a] {
					t.Fatalf("%s joined twice", a)
				}
				got[a] = true
			}
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Fatal(diff)
		}
	}
	if len(sockets) > 6 { // 30 groups, 5 each
		t.Errorf("%d sockets", len(sockets))
	}
	g.close()
	for _, s := range sockets {
		if !s.closed {
			t.Error("socket left open")
		}
	}
}

func TestGroupsReportErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, open := range map[string]func() (joiner, error){
		"open": func() (joiner, error) { return nil, broken },
		"join": func() (joiner, error) { return &tightJoiner{err: broken}, nil },
	} {
		if err := (&groups{open: open}).change(addrs("2001:db8::1"), nil); !errors.Is(err, broken) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	full := &groups{open: func() (joiner, error) { return &tightJoiner{}, nil }}
	if err := full.change(addrs("2001:db8::1"), nil); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("no room even on a new socket: error %v", err)
	}
}
