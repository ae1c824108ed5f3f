package l2

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// patience bounds every wait for something that does happen.
const patience = 15 * time.Second

// host is a network namespace that announcers and taps run in.
type host struct {
	*nettest.Host
	t testing.TB
}

func newHost(t testing.TB) *host {
	t.Helper()
	return &host{nettest.NewHost(t), t}
}

// pair is a node and a neighbour on one cable, both called eth0.
func pair(t testing.TB) (node, neighbour *host) {
	t.Helper()
	node, neighbour = newHost(t), newHost(t)
	nettest.Cable(node.Host, "eth0", neighbour.Host, "eth0")
	node.Address("eth0", "192.0.2.2/24", "2001:db8::2/64")
	neighbour.Address("eth0", "192.0.2.9/24", "2001:db8::9/64")
	node.settles("eth0")
	neighbour.settles("eth0")
	return node, neighbour
}

// lan is a switch with n hosts on it, each of which calls its device eth0; host i has 192.0.2.<i+2> and 2001:db8::<i+2>.
func lan(t testing.TB, n int) (sw *host, hosts []*host) {
	t.Helper()
	l := nettest.NewLAN(t)
	for i := range n {
		h := newHost(t)
		l.Join(h.Host, fmt.Sprint("port", i), fmt.Sprintf("192.0.2.%d/24", i+2), fmt.Sprintf("2001:db8::%d/64", i+2))
		hosts = append(hosts, h)
	}
	for _, h := range hosts {
		h.settles("eth0")
	}
	return &host{l.Host, t}, hosts
}

// port returns the name of the port behind which the switch has learnt a station to be.
func (h *host) port(mac net.HardwareAddr) string {
	h.t.Helper()
	list, err := dump(func() ([]netlink.Neigh, error) { return h.Netlink.NeighList(0, unix.AF_BRIDGE) })
	h.Must(err)
	for _, n := range list {
		if n.HardwareAddr.String() == mac.String() && n.State&unix.NUD_PERMANENT == 0 {
			for _, l := range []string{"port0", "port1", "port2"} {
				if h.Link(l).Attrs().Index == n.LinkIndex {
					return l
				}
			}
		}
	}
	return ""
}

// settles waits until the kernel has seen the carrier and made the link-local address.
func (h *host) settles(name string) {
	h.t.Helper()
	h.eventually(name+" up with a link-local address", func() bool {
		list, err := dump(func() ([]netlink.Addr, error) { return h.Netlink.AddrList(h.Link(name), netlink.FAMILY_V6) })
		h.Must(err)
		return h.Link(name).Attrs().RawFlags&unix.IFF_RUNNING != 0 && slices.ContainsFunc(list, func(a netlink.Addr) bool {
			return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0
		})
	})
}

// announce runs an announcer on the host until the test ends.
func (h *host) announce() *Announcer { return h.announceWith(testLog(h.t)) }

func (h *host) announceWith(log logr.Logger) *Announcer {
	h.t.Helper()
	a, err := New(Options{Log: log})
	h.Must(err)
	return h.run(a)
}

// announceOn runs an announcer whose sockets are wrapped.
func (h *host) announceOn(wrap func(wire) wire) *Announcer {
	h.t.Helper()
	m, err := newMetrics(nil)
	h.Must(err)
	return h.run(newAnnouncer(logr.Discard(), m, func() (system, error) {
		k, err := newKernel(nil)
		return wrappingSystem{k, wrap}, err
	}))
}

type wrappingSystem struct {
	system
	wrap func(wire) wire
}

func (s wrappingSystem) open(i Interface, p protocol) (wire, error) {
	w, err := s.system.open(i, p)
	if err != nil {
		return nil, err
	}
	return s.wrap(w), nil
}

func (h *host) run(a *Announcer) *Announcer {
	h.t.Helper()
	ended := h.Run(a.Run)
	select {
	case <-a.Ready():
	case <-ended:
		h.t.FailNow()
	}
	return a
}

// eventually waits for a state of the kernel's that nothing else tells of.
func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			h.t.Fatal("did not happen: ", what)
		}
	}
}

// poke makes the kernel look for the neighbour, by sending it a datagram.
func (h *host) poke(a netip.Addr) {
	h.t.Helper()
	h.Must(h.Do(func() error {
		c, err := net.Dial("udp", netip.AddrPortFrom(a, 9).String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("x"))
		return err
	}))
}

// neigh returns the kernel's neighbour entry.
func (h *host) neigh(name string, a netip.Addr) (mac net.HardwareAddr, state int) {
	h.t.Helper()
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	list, err := dump(func() ([]netlink.Neigh, error) { return h.Netlink.NeighList(h.Link(name).Attrs().Index, family) })
	h.Must(err)
	for _, n := range list {
		if n.IP.Equal(a.AsSlice()) {
			return n.HardwareAddr, n.State
		}
	}
	return nil, 0
}

func (h *host) setNeigh(name string, a netip.Addr, mac net.HardwareAddr, state int) {
	h.t.Helper()
	h.Must(h.Netlink.NeighSet(&netlink.Neigh{LinkIndex: h.Link(name).Attrs().Index, IP: a.AsSlice(), HardwareAddr: mac, State: state}))
}

// resolves waits until the host's kernel has found the address at mac.
func (h *host) resolves(a netip.Addr, mac net.HardwareAddr) {
	h.t.Helper()
	h.poke(a)
	h.eventually(a.String()+" resolved", func() bool {
		got, state := h.neigh("eth0", a)
		if state == unix.NUD_FAILED {
			h.poke(a)
		}
		return state == unix.NUD_REACHABLE && got.String() == mac.String()
	})
}

// tap reads and writes frames on one interface.
type tap struct {
	h      *host
	conn   *packet.Conn
	marks  *packet.Conn // the kernel does not show a socket its own frames
	mac    net.HardwareAddr
	frames chan []byte
	seen   func([]byte) // if not nil: called for each frame that until takes
	done   sync.WaitGroup
}

func (h *host) tap(name string) *tap {
	h.t.Helper()
	l := h.Link(name).Attrs()
	p := &tap{h: h, mac: l.HardwareAddr, frames: make(chan []byte, 100_000)}
	h.Must(h.Do(func() (err error) {
		i := &net.Interface{Index: l.Index, Name: name}
		if p.marks, err = packet.Listen(i, packet.Raw, marked, nil); err != nil {
			return err
		}
		p.conn, err = packet.Listen(i, packet.Raw, unix.ETH_P_ALL, nil)
		return err
	}))
	p.keepAll()
	p.done.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, _, err := p.conn.ReadFrom(buf)
			if errors.Is(err, unix.ENETDOWN) {
				continue
			}
			if err != nil {
				return
			}
			p.frames <- append([]byte(nil), buf[:n]...)
		}
	})
	h.t.Cleanup(func() {
		_ = p.conn.Close()
		_ = p.marks.Close()
		p.done.Wait()
	})
	return p
}

// keepAll gives the socket room for bursts of thousands of frames.
func (p *tap) keepAll() {
	p.h.t.Helper()
	raw, err := p.conn.SyscallConn()
	p.h.Must(err)
	var set error
	p.h.Must(raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) }))
	p.h.Must(set)
}

func (p *tap) send(frame []byte) {
	p.h.t.Helper()
	_, err := p.conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]})
	p.h.Must(err)
}

// until returns what matching frames arrive up to and including the one that ends the wait.
func (p *tap) until(what string, match func([]byte) bool, last func([]byte) bool) (got [][]byte) {
	p.h.t.Helper()
	end := time.After(patience)
	for {
		select {
		case f := <-p.frames:
			if p.seen != nil {
				p.seen(f)
			}
			if match(f) {
				got = append(got, f)
			}
			if last(f) {
				return got
			}
		case <-end:
			p.h.t.Fatalf("no %s; %d frames matched", what, len(got))
		}
	}
}

// next waits for one matching frame.
func (p *tap) next(what string, match func([]byte) bool) []byte {
	p.h.t.Helper()
	got := p.until(what, match, match)
	return got[len(got)-1]
}

// memberships counts the IPv6 groups that the node's kernel has joined on eth0.
func (h *host) memberships(t *testing.T) (n int) {
	t.Helper()
	h.Must(h.Do(func() error {
		b, err := os.ReadFile("/proc/thread-self/net/igmp6")
		n = bytes.Count(b, []byte(" eth0 "))
		return err
	}))
	return n
}
