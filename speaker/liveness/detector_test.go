package liveness

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// address of the i-th node of this test process: processes that test at the same time use other loopback addresses.
func address(i int) netip.AddrPort {
	a := [4]byte{127, 0, 0, byte(i + 1)}
	binary.BigEndian.PutUint16(a[1:], uint16(os.Getpid())|0x0100)
	return netip.AddrPortFrom(netip.AddrFrom4(a), DefaultPort)
}

// node runs a detector in this process.
type node struct {
	*Detector
	stop func()
}

func start(t testing.TB, name string, bind netip.AddrPort, change ...func(*Options)) *node {
	t.Helper()
	o := Options{Name: name, Bind: bind, Key: secret, Profile: ProfileFast, Registerer: prometheus.NewRegistry()}
	for _, c := range change {
		c(&o)
	}
	d, err := New(o)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	n := &node{Detector: d}
	n.stop = func() {
		if cancel(); ended != nil {
			must(t, <-ended)
			ended = nil
		}
	}
	t.Cleanup(n.stop)
	return n
}

func (n *node) state(name string) State { return n.Verdicts()[name].State }

func (n *node) becomes(t testing.TB, name string, want State) {
	t.Helper()
	eventually(t, name+" to be "+want.String()+" for "+n.opts.Name, func() bool { return n.state(name) == want })
}

func probe(n *node, name string, at netip.AddrPort) {
	n.SetTargets(map[string]netip.AddrPort{name: at})
}

func TestLifeOfATarget(t *testing.T) {
	a, b := start(t, "a", address(0)), start(t, "b", address(1))
	a.SetTargets(map[string]netip.AddrPort{
		"b": netip.AddrPortFrom(address(1).Addr(), 0), "never": address(2), "a": address(0), "": address(3), "odd": {},
	})
	a.becomes(t, "b", Answering)
	<-a.Changed()
	since := a.Verdicts()["b"].Since
	b.stop()
	a.becomes(t, "b", Refused)
	if v := a.Verdicts(); len(v) != 2 || v["never"].State != Unknown || !v["b"].Since.After(since) {
		t.Errorf("the verdicts are %v", v)
	}
	start(t, "b", address(1))
	a.becomes(t, "b", Answering)
	if got := value(t, a.metrics.targets.WithLabelValues("answering")); got != 1 {
		t.Errorf("belfry_liveness_targets{state=answering} = %v, want 1", got)
	}
	a.SetTargets(nil)
	eventually(t, "no verdicts", func() bool { return len(a.Verdicts()) == 0 })
	if err := a.Run(t.Context()); err == nil {
		t.Error("it ran twice")
	}
}

// TestATargetMoves: a verdict is of a name at an address.
func TestATargetMoves(t *testing.T) {
	a := start(t, "a", address(0))
	start(t, "b", address(1))
	probe(a, "b", address(1))
	a.becomes(t, "b", Answering)
	probe(a, "b", address(2))
	a.becomes(t, "b", Unknown)
	start(t, "b", address(2))
	a.becomes(t, "b", Answering)
}

func TestIPv6Loopback(t *testing.T) {
	at := func() netip.AddrPort {
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
		must(t, err)
		must(t, c.Close())
		return c.LocalAddr().(*net.UDPAddr).AddrPort()
	}
	one, two := at(), at()
	a, b := start(t, "a", one), start(t, "b", two)
	probe(a, "b", two)
	a.becomes(t, "b", Answering)
	b.stop()
	a.becomes(t, "b", Refused)
}

// TestThePortIsTaken: a predecessor on this node may hold the port for a while.
func TestThePortIsTaken(t *testing.T) {
	held, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address(1)))
	must(t, err)
	a, b := start(t, "a", address(0)), start(t, "b", address(1))
	eventually(t, "a failure", func() bool { return value(t, b.metrics.failures) > 0 })
	must(t, held.Close())
	probe(a, "b", address(1))
	a.becomes(t, "b", Answering)
}

// TestNoSuchSource: probes that cannot leave prove nothing.
func TestNoSuchSource(t *testing.T) {
	a := start(t, "a", netip.MustParseAddrPort("192.0.2.77:7948"))
	start(t, "b", address(1))
	probe(a, "b", address(1))
	eventually(t, "several failures", func() bool { return value(t, a.metrics.failures) > 5 })
	if got := a.state("b"); got != Unknown {
		t.Errorf("b is %s", got)
	}
}

// TestKeyRotation goes through the steps on one node after the other, and no reply is missing.
func TestKeyRotation(t *testing.T) {
	next := []byte("the next secret")
	a, b := start(t, "a", address(0)), start(t, "b", address(1))
	probe(a, "b", address(1))
	probe(b, "a", address(0))
	answered := func(n *node) {
		before := value(t, n.metrics.replies)
		eventually(t, "three replies", func() bool { return value(t, n.metrics.replies) >= before+3 })
	}
	for _, step := range [][][]byte{{secret, next}, {next, secret}, {next}} {
		for _, n := range []*node{a, b} {
			must(t, n.SetKeys(step[0], step[1:]...))
			answered(a)
			answered(b)
		}
	}
	for _, n := range []*node{a, b} {
		if got := value(t, n.metrics.dropped.WithLabelValues(droppedAuthentication)); got != 0 {
			t.Errorf("%s dropped %v packets", n.opts.Name, got)
		}
		if got := value(t, n.metrics.transitions.WithLabelValues("silent")); got != 0 {
			t.Errorf("%s saw %v silences", n.opts.Name, got)
		}
	}
	// The control: the old key is worth nothing now.
	old := start(t, "old", address(2))
	probe(old, "b", address(1))
	eventually(t, "refused requests", func() bool { return value(t, b.metrics.dropped.WithLabelValues(droppedAuthentication)) > 3 })
	if got := old.state("b"); got != Unknown {
		t.Errorf("b is %s with the old key", got)
	}
	if err := a.SetKeys(nil); err == nil {
		t.Error("an empty key was taken")
	}
}

func TestNewChecks(t *testing.T) {
	taken := prometheus.NewRegistry()
	if _, err := newMetrics(taken); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*Options)
		want   string // part of the error; empty: none
	}{
		{"valid", func(*Options) {}, ""},
		{"no name", func(o *Options) { o.Name = "" }, "name"},
		{"long name", func(o *Options) { o.Name = strings.Repeat("n", 254) }, "name"},
		{"no address", func(o *Options) { o.Bind = netip.AddrPort{} }, "bind address"},
		{"any address", func(o *Options) { o.Bind = netip.MustParseAddrPort("[::]:7948") }, "bind address"},
		{"zone", func(o *Options) { o.Bind = netip.MustParseAddrPort("[fe80::1%eth0]:7948") }, "bind address"},
		{"no key", func(o *Options) { o.Key = nil }, "key"},
		{"profile", func(o *Options) { o.Profile = "hasty" }, "hasty"},
		{"metrics taken", func(o *Options) { o.Registerer = taken }, "metrics"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Name: "n", Bind: netip.MustParseAddrPort("192.0.2.1:0"), Key: secret}
			tc.change(&o)
			d, err := New(o)
			if tc.want == "" {
				if err != nil || d.opts.Bind.Port() != DefaultPort {
					t.Errorf("New: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New: %v, want an error about the %s", err, tc.want)
			}
		})
	}
}
