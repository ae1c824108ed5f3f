package migrate

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// sessions watches at the router's cable which connections to its BGP port are open, and complains of a node that dials while
// it has one: then two speakers would hold sessions from one address.
type sessions struct {
	router netip.Addr
	conn   *packet.Conn
	done   chan struct{}

	mu    sync.Mutex
	open  map[netip.Addr]uint16 // the node's port, once the router has accepted
	dials map[netip.Addr][]uint16
	wrong []string
}

const bgpPort = 179

func watchSessions(t *testing.T, r *cluster.Router) *sessions {
	t.Helper()
	s := &sessions{router: r.V4(), done: make(chan struct{}), open: map[netip.Addr]uint16{}, dials: map[netip.Addr][]uint16{}}
	filter, err := bpf.Assemble(onlyBGP())
	must(t, err)
	must(t, r.Do(func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter})
		return err
	}))
	go s.read()
	t.Cleanup(func() {
		_ = s.conn.Close()
		<-s.done
	})
	return s
}

// onlyBGP lets IPv4 frames of TCP pass that are from or to BGP's port and open or close a connection.
func onlyBGP() []bpf.Instruction {
	const drop = 12
	return []bpf.Instruction{
		0:  bpf.LoadAbsolute{Off: 12, Size: 2},
		1:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: drop - 2},
		2:  bpf.LoadAbsolute{Off: 23, Size: 1},
		3:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: drop - 4},
		4:  bpf.LoadMemShift{Off: 14},
		5:  bpf.LoadIndirect{Off: 14, Size: 2},
		6:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: bgpPort, SkipTrue: 2},
		7:  bpf.LoadIndirect{Off: 16, Size: 2},
		8:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: bgpPort, SkipTrue: drop - 9},
		9:  bpf.LoadIndirect{Off: 27, Size: 1},
		10: bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: syn | fin | rst, SkipTrue: drop - 11},
		11: bpf.RetConstant{Val: 128},
		12: bpf.RetConstant{Val: 0},
	}
}

// Flags of TCP (RFC 9293 §3.1).
const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

func (s *sessions) read() {
	defer close(s.done)
	b := make([]byte, 2048)
	for {
		n, _, err := s.conn.ReadFrom(b)
		if err != nil {
			return // closed
		}
		ip := b[14:n]
		tcp := ip[4*(ip[0]&15):]
		from, to := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		s.see(from, to, binary.BigEndian.Uint16(tcp), binary.BigEndian.Uint16(tcp[2:]), tcp[13])
	}
}

func (s *sessions) see(from, to netip.Addr, fromPort, toPort uint16, flags byte) {
	node, port := from, fromPort
	if from == s.router {
		node, port = to, toPort
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch open, is := s.open[node]; {
	case flags&(fin|rst) != 0:
		if is && open == port {
			delete(s.open, node)
		}
	case flags&ack != 0: // the router accepts
		s.open[node] = port
	case is && open != port:
		s.wrong = append(s.wrong, fmt.Sprintf("%s dials from port %d while its connection from port %d is open", node, port, open))
	case !slices.Contains(s.dials[node], port):
		s.dials[node] = append(s.dials[node], port)
	}
}

// dialled returns how often each node has opened a connection so far.
func (s *sessions) dialled() map[netip.Addr]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[netip.Addr]int{}
	for node, ports := range s.dials {
		out[node] = len(ports)
	}
	return out
}

// check fails the test if a node had two sessions at once, or if one of these nodes has not dialled anew since before.
func (s *sessions) check(t *testing.T, before map[netip.Addr]int, nodes []string) {
	t.Helper()
	now := s.dialled()
	for _, n := range nodes {
		h, err := lab.Host(n)
		must(t, err)
		if now[h.V4()] <= before[h.V4()] {
			t.Errorf("%s was seen to dial %d times before and %d times after", n, before[h.V4()], now[h.V4()])
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		t.Errorf("two speakers of one node had sessions at once:\n%s", strings.Join(s.wrong, "\n"))
	}
}

// TestSessionsWatch shows that two speakers on one node would be seen.
func TestSessionsWatch(t *testing.T) {
	node, r := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.181")
	s := &sessions{router: r, open: map[netip.Addr]uint16{}, dials: map[netip.Addr][]uint16{}}
	dial := func(port uint16) {
		s.see(node, r, port, bgpPort, syn)
		s.see(r, node, bgpPort, port, syn|ack)
	}
	dial(1001)
	s.see(node, r, 1001, bgpPort, fin|ack)
	dial(1002)
	s.see(r, node, bgpPort, 1002, rst)
	dial(1003)
	if len(s.wrong) > 0 || s.dialled()[node] != 3 {
		t.Errorf("one after the other: %v, %v", s.wrong, s.dials)
	}
	dial(1004)
	if len(s.wrong) != 1 {
		t.Errorf("two at once: %v", s.wrong)
	}
}

// stop ends a command that was started, and returns what it has written.
type monitor struct {
	cancel context.CancelFunc
	wait   func() error
	out    *strings.Builder
}

func (m monitor) stop() string {
	m.cancel()
	_ = m.wait() // killed
	return m.out.String()
}
