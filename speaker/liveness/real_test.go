package liveness

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// lan is a switch with hosts behind its ports n0, n1, ….
type lan struct {
	nettest.LAN
	t     testing.TB
	hosts []*nettest.Host
}

func newLAN(t testing.TB, hosts int) *lan {
	t.Helper()
	l := &lan{LAN: nettest.NewLAN(t), t: t}
	for i := range hosts {
		h := nettest.NewHost(t)
		l.Join(h, fmt.Sprint("n", i), cidr(i, false), cidr(i, true))
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

func cidr(i int, v6 bool) string {
	if v6 {
		return on(i, v6).Addr().String() + "/64"
	}
	return on(i, v6).Addr().String() + "/24"
}

func (l *lan) node(i int, v6 bool, p Profile, targets ...int) *process {
	return run(l.t, l.hosts[i], l.setup(i, v6, p, targets...))
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

			l.Down("n1") // the cable of n1
			prober.sees("n1", Silent)
			l.Up("n1")
			prober.sees("n1", Answering)

			l.hosts[0].Down("eth0") // the prober's own
			prober.sees("n1", Unknown)
			l.hosts[0].Up("eth0")
			l.hosts[0].Address("eth0", cidr(0, v6)) // the kernel takes an IPv6 one away with the link
			prober.sees("n1", Answering)

			must(t, target.Process.Signal(unix.SIGSTOP))
			prober.sees("n1", Silent)
			must(t, target.Process.Signal(unix.SIGCONT))
			prober.sees("n1", Answering)

			target.kill()
			prober.sees("n1", Refused)
			l.Down("n1") // its kernel goes, too
			prober.sees("n1", Silent)
			l.Up("n1")
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
			for _, limit := range []string{"ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"} {
				l.hosts[1].Sysctl(limit, "1000000000") // never, not even in a burst
			}
			node := func(i int, targets ...int) *process {
				s := l.setup(i, v6, ProfileFast, targets...)
				s.Knock = 7947
				return run(t, l.hosts[i], s)
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
			l.Down("n1")
			prober.sees("n1", Silent)
		})
	}
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
	must(t, l.hosts[2].Do(func() error {
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
				l.Down("n1")
				prober.sees("n1", Silent)
				said := prober.lines()
				took = append(took, said[len(said)-1].At.Sub(cut))
				l.Up("n1")
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
