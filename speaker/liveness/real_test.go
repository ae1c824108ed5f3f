package liveness

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// host is a network namespace without a name: it goes with its last socket, process and thread.
type host struct {
	t  testing.TB
	ns netns.NsHandle
	nl *netlink.Handle
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		var err error
		if h.ns, err = netns.New(); err == nil {
			err = os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o600)
		}
		made <- err
	}()
	must(t, <-made)
	t.Cleanup(func() { _ = h.ns.Close() })
	var err error
	h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE)
	must(t, err)
	t.Cleanup(h.nl.Close)
	h.up("lo")
	return h
}

// in runs fn on a thread of the namespace.
func (h *host) in(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := netns.Set(h.ns)
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

func (h *host) link(name string) netlink.Link {
	h.t.Helper()
	l, err := h.nl.LinkByName(name)
	must(h.t, err)
	return l
}

func (h *host) up(name string)   { must(h.t, h.nl.LinkSetUp(h.link(name))) }
func (h *host) down(name string) { must(h.t, h.nl.LinkSetDown(h.link(name))) }

// lan is a bridge with hosts n0, n1, … behind its ports of these names.
type lan struct {
	*host
	hosts []*host
}

func newLAN(t testing.TB, hosts int) *lan {
	t.Helper()
	l := &lan{host: newHost(t)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "lan"
	must(t, l.nl.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}))
	l.up("lan")
	for i := range hosts {
		h := newHost(t)
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprint("n", i)
		must(t, l.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}))
		must(t, l.nl.LinkSetMaster(l.link(attrs.Name), l.link("lan")))
		l.up(attrs.Name)
		h.up("eth0")
		for _, v6 := range []bool{false, true} {
			a := &netlink.Addr{IPNet: &net.IPNet{IP: on(i, v6).Addr().AsSlice(), Mask: net.CIDRMask(24, 32)}}
			if v6 {
				a.Mask, a.Flags = net.CIDRMask(64, 128), unix.IFA_F_NODAD
			}
			must(t, h.nl.AddrAdd(h.link("eth0"), a))
		}
		l.hosts = append(l.hosts, h)
	}
	return l
}

// on is where the i-th host answers.
func on(i int, v6 bool) netip.AddrPort {
	if v6 {
		return netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%d]:%d", i+1, DefaultPort))
	}
	return netip.MustParseAddrPort(fmt.Sprintf("10.9.0.%d:%d", i+1, DefaultPort))
}

func (l *lan) node(i int, v6 bool, p Profile, targets ...int) *process {
	return l.hosts[i].run(l.setup(i, v6, p, targets...))
}

func (l *lan) setup(i int, v6 bool, p Profile, targets ...int) setup {
	s := setup{Name: fmt.Sprint("n", i), Bind: on(i, v6), Profile: p, Targets: map[string]netip.AddrPort{}}
	for _, target := range targets {
		s.Targets[fmt.Sprint("n", target)] = on(target, v6)
	}
	return s
}

// TestAgainstTheKernel takes a node away in every way, for both families.
func TestAgainstTheKernel(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6=%v", v6), func(t *testing.T) {
			l := newLAN(t, 2)
			prober, target := l.node(0, v6, ProfileFast, 1), l.node(1, v6, ProfileFast)
			prober.sees("n1", Answering)

			l.down("n1") // the cable of n1
			prober.sees("n1", Silent)
			l.up("n1")
			prober.sees("n1", Answering)

			l.hosts[0].down("eth0") // the prober's own
			prober.sees("n1", Unknown)
			l.hosts[0].up("eth0")
			must(t, l.hosts[0].nl.AddrReplace(l.hosts[0].link("eth0"), address6(v6)))
			prober.sees("n1", Answering)

			must(t, target.Process.Signal(unix.SIGSTOP))
			prober.sees("n1", Silent)
			must(t, target.Process.Signal(unix.SIGCONT))
			prober.sees("n1", Answering)

			target.kill()
			prober.sees("n1", Refused)
			l.down("n1") // its kernel goes, too
			prober.sees("n1", Silent)
			l.up("n1")
			prober.sees("n1", Refused)
			l.node(1, v6, ProfileFast)
			prober.sees("n1", Answering)
		})
	}
}

// TestKilledTwice: a kernel that holds ports unreachable back still refuses connections, so a speaker that is killed soon
// after a restart is not taken for a dead node; one that hangs is.
func TestKilledTwice(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6=%v", v6), func(t *testing.T) {
			l := newLAN(t, 2)
			must(t, l.hosts[1].in(func() error { // never, not even in a burst
				return errors.Join(
					os.WriteFile("/proc/sys/net/ipv4/icmp_ratelimit", []byte("1000000000"), 0o600),
					os.WriteFile("/proc/sys/net/ipv6/icmp/ratelimit", []byte("1000000000"), 0o600),
				)
			}))
			node := func(i int, targets ...int) *process {
				s := l.setup(i, v6, ProfileFast, targets...)
				s.Knock = 7947
				return l.hosts[i].run(s)
			}
			prober := node(0, 1)
			for range 3 {
				target := node(1)
				prober.sees("n1", Answering)
				before := len(prober.lines())
				target.kill()
				prober.sees("n1", Refused)
				if said := prober.lines()[before:]; len(said) != 1 {
					t.Errorf("not refused at once: %v", said)
				}
			}
			target := node(1)
			prober.sees("n1", Answering)
			must(t, target.Process.Signal(unix.SIGSTOP))
			prober.sees("n1", Silent)
			must(t, target.Process.Signal(unix.SIGCONT))
			prober.sees("n1", Answering)
			l.down("n1")
			prober.sees("n1", Silent)
		})
	}
}

// address6 is the first host's, which the kernel takes away with the link if it is an IPv6 one.
func address6(v6 bool) *netlink.Addr {
	a := &netlink.Addr{IPNet: &net.IPNet{IP: on(0, v6).Addr().AsSlice(), Mask: net.CIDRMask(24, 32)}}
	if v6 {
		a.Mask, a.Flags = net.CIDRMask(64, 128), unix.IFA_F_NODAD
	}
	return a
}

// TestFloodOfGarbage sends a node as much as the kernel takes: it goes on answering.
func TestFloodOfGarbage(t *testing.T) {
	const packets = 300_000
	l := newLAN(t, 3)
	prober := l.node(0, false, ProfileRelaxed, 1)
	l.node(1, false, ProfileRelaxed)
	prober.sees("n1", Answering)
	before := len(prober.lines())
	began := time.Now()
	must(t, l.hosts[2].in(func() error {
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(on(1, false)))
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		liar := testPacket()
		liar.to = "n1"
		garbage := [][]byte{make([]byte, 1400), liar.encode(nil, testKeys(t, "a stranger's")[0]), []byte(magic), {}}
		for i := range packets {
			if _, err := c.Write(garbage[i%len(garbage)]); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Logf("%d packets of garbage in %s", packets, time.Since(began))
	if said := prober.lines()[before:]; len(said) > 0 {
		t.Errorf("the verdicts changed: %v", said)
	}
}

// TestHowSoon measures what the profiles promise, on a machine that may be busy: it only fails beyond any doubt.
func TestHowSoon(t *testing.T) {
	for _, p := range []Profile{ProfileFast, ProfileDefault} {
		t.Run(string(p), func(t *testing.T) {
			l := newLAN(t, 2)
			prober := l.node(0, false, p, 1)
			l.node(1, false, p)
			var took []time.Duration
			for range 7 {
				prober.sees("n1", Answering)
				cut := time.Now()
				l.down("n1")
				prober.sees("n1", Silent)
				said := prober.lines()
				took = append(took, said[len(said)-1].At.Sub(cut))
				l.up("n1")
			}
			slices.Sort(took)
			interval, _ := p.interval()
			t.Logf("cut to Silent: %v", took)
			if took[0] < (misses-1)*interval {
				t.Errorf("Silent after %s, which is no %d intervals", took[0], misses-1)
			}
		})
	}
}
