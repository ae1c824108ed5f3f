package bfd

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bfd"
)

const (
	node4, router4 = "10.9.0.1", "10.9.0.2"
	node6, router6 = "fd09::1", "fd09::2"
	far4, far6     = "10.10.0.2", "fd10::2"
)

// pair is a node and a router on one cable, both called eth0.
func pair(t *testing.T) (node, router *host) {
	t.Helper()
	node, router = newHost(t), newHost(t)
	nettest.Cable(node.Host, "eth0", router.Host, "eth0")
	node.Address("eth0", node4+"/24", node6+"/64")
	router.Address("eth0", router4+"/24", router6+"/64")
	return node, router
}

// distant is a node and a router with another one between them.
func distant(t *testing.T) (node, router *host) {
	t.Helper()
	node, middle := pair(t)
	router = newHost(t)
	nettest.Cable(middle.Host, "eth1", router.Host, "eth0")
	middle.Address("eth1", "10.10.0.1/24", "fd10::1/64")
	router.Address("eth0", far4+"/24", far6+"/64")
	middle.Forward()
	node.Route("10.10.0.0/24", router4)
	node.Route("fd10::/64", router6)
	router.Route("10.9.0.0/24", "10.10.0.1")
	router.Route("fd09::/64", "fd10::1")
	return node, router
}

func frrTimers(interval time.Duration, multiplier uint8) []string {
	return []string{
		fmt.Sprintf("transmit-interval %d", interval.Milliseconds()), fmt.Sprintf("receive-interval %d", interval.Milliseconds()),
		fmt.Sprintf("detect-multiplier %d", multiplier),
	}
}

// way is one of the ways in which a node and a router can watch each other.
type way struct {
	name       string
	hosts      func(*testing.T) (node, router *host)
	path       func(router *host) bfd.Path
	frrPeer    func(node *host) string
	birdPeer   func(node *host) string
	interval   time.Duration
	multiplier uint8
}

func ways() []way {
	fixed := func(p bfd.Path) func(*host) bfd.Path { return func(*host) bfd.Path { return p } }
	says := func(s string) func(*host) string { return func(*host) string { return s } }
	return []way{
		{
			"IPv4", pair, fixed(bfd.Path{Peer: addr(router4)}), says("peer " + node4),
			says("neighbor " + node4 + " local " + router4), 50 * ms, 3,
		},
		{
			"IPv4 with all said", pair, fixed(bfd.Path{Peer: addr(router4), Local: addr(node4), Interface: "eth0"}),
			says("peer " + node4 + " local-address " + router4 + " interface eth0"),
			says("neighbor " + node4 + ` dev "eth0" local ` + router4), 300 * ms, 3,
		},
		{
			"IPv6", pair, fixed(bfd.Path{Peer: addr(router6), Local: addr(node6)}),
			says("peer " + node6 + " local-address " + router6), says("neighbor " + node6 + " local " + router6), 50 * ms, 3,
		},
		{
			"link-local", pair, func(r *host) bfd.Path { return bfd.Path{Peer: r.linkLocal("eth0").WithZone("eth0")} },
			func(n *host) string { return "peer " + n.linkLocal("eth0").String() + " interface eth0" },
			func(n *host) string { return "neighbor " + n.linkLocal("eth0").String() + ` dev "eth0"` }, 50 * ms, 3,
		},
		{
			"IPv4 over two hops", distant, fixed(bfd.Path{Peer: addr(far4), Local: addr(node4), MultiHop: true}),
			says("peer " + node4 + " multihop local-address " + far4),
			says("neighbor " + node4 + " local " + far4 + " multihop yes"), 50 * ms, 3,
		},
		{
			"IPv6 over two hops", distant, fixed(bfd.Path{Peer: addr(far6), MultiHop: true}),
			says("peer " + node6 + " multihop local-address " + far6),
			says("neighbor " + node6 + " local " + far6 + " multihop yes"), time.Second, 5,
		},
	}
}

// TestFRR: up, the same timers on both sides, a frozen peer noticed in time, up again.
func TestFRR(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			node, host := w.hosts(t)
			router := startFRR(t, host, append([]string{w.frrPeer(node)}, frrTimers(w.interval, w.multiplier)...)...)
			o, path := startOurs(t, node), w.path(host)
			set := timers(w.interval, w.multiplier)
			set.MinTTL = 254
			o.watch(path, set)
			detection := time.Duration(w.multiplier) * w.interval
			o.await(path, "coming up", func(s bfd.Status) bool { return up(s) && s.Interval == w.interval && s.Detection == detection })
			until(t, "FRR's view", func() bool {
				p := router.peer()
				return p.Status == "up" && p.RemoteTx == int(w.interval.Milliseconds()) && p.RemoteDetect == int(w.multiplier)
			})

			frozen := time.Now()
			if err := router.bfdd.Signal(unix.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			s := o.await(path, "noticing", down)
			t.Logf("a frozen peer was noticed after %s, the detection time is %s; the news took %s", s.Since.Sub(frozen), detection, time.Since(s.Since))
			if s.Cause != bfd.CauseDetectionExpired || s.Silence != detection || !s.Failed() {
				t.Errorf("%+v", s)
			}
			if err := router.bfdd.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			o.await(path, "coming up again", up)
		})
	}
}

// steady are timers for sessions that must not go down while all cores are busy with other tests.
func steady() bfd.Settings { return timers(300*ms, 5) }

// joined is a node and an FRR that are up with the same timers.
func joined(t *testing.T, set bfd.Settings) (o *ours, path bfd.Path, r *frr, node *host) {
	t.Helper()
	node, host := pair(t)
	r = startFRR(t, host, append([]string{"peer " + node4}, frrTimers(set.MinTx, set.Multiplier)...)...)
	o, path = startOurs(t, node), bfd.Path{Peer: addr(router4)}
	o.watch(path, set)
	detection := time.Duration(set.Multiplier) * set.MinRx
	o.await(path, "coming up", func(s bfd.Status) bool { return up(s) && s.Detection == detection })
	until(t, "FRR's view", func() bool { return r.peer().Status == "up" })
	return o, path, r, node
}

func TestFRRTimersChangeWhileUp(t *testing.T) {
	o, path, r, _ := joined(t, steady())
	both := func(set bfd.Settings, theirs time.Duration, mult uint8) {
		t.Helper()
		interval := max(set.MinTx, theirs)
		detection := time.Duration(mult) * max(set.MinRx, theirs)
		o.await(path, "new timers", func(s bfd.Status) bool { return s.Interval == interval && s.Detection == detection })
		until(t, "FRR's view", func() bool {
			p := r.peer()
			return p.RemoteTx == int(set.MinTx.Milliseconds()) && p.RemoteRx == int(set.MinRx.Milliseconds()) && p.RemoteDetect == int(set.Multiplier)
		})
		lasts(t, detection, "being up", func() bool { return up(o.Running().Sessions[path]) })
	}
	for _, set := range []bfd.Settings{
		{MinTx: 600 * ms, MinRx: 400 * ms, Multiplier: 4}, {MinTx: 350 * ms, MinRx: 700 * ms, Multiplier: 6}, steady(),
	} {
		o.watch(path, set)
		both(set, 300*ms, 5)
	}
	for _, theirs := range []time.Duration{500 * ms, 250 * ms} {
		r.configure(append([]string{"peer " + node4}, frrTimers(theirs, 6)...)...)
		both(steady(), theirs, 6)
	}
	if s := o.Running().Sessions[path]; s.Downs != 0 || s.Ups != 1 || r.downs() != 0 {
		t.Errorf("ours: %+v, FRR: %d downs", s, r.downs())
	}
}

func TestFRRAdminDown(t *testing.T) {
	o, path, r, _ := joined(t, steady())
	r.configure("peer "+node4, "shutdown")
	s := o.await(path, "FRR's shutdown", down)
	if s.Cause != bfd.CauseNeighborAdminDown || s.Failed() {
		t.Errorf("%+v", s)
	}
	r.configure("peer "+node4, "no shutdown")
	o.await(path, "coming up again", up)
	until(t, "FRR's view", func() bool { return r.peer().Status == "up" })

	set := steady()
	set.AdminDown = true
	o.watch(path, set)
	until(t, "FRR's view", func() bool { return r.peer().Status == "down" })
	if p := r.peer(); p.RemoteDiag != "administratively down" {
		t.Errorf("FRR sees %+v", p)
	}
	o.watch(path, steady())
	o.await(path, "coming up again", up)

	o.apply(nil) // leaving says so
	until(t, "FRR's view", func() bool { return r.peer().Status == "down" })
	if p := r.peer(); p.RemoteDiag != "administratively down" {
		t.Errorf("FRR sees %+v", p)
	}
}

func TestFRRLinkCut(t *testing.T) {
	o, path, r, node := joined(t, timers(50*ms, 3))
	cut := time.Now()
	node.Down("eth0")
	s := o.await(path, "the cut", down)
	t.Logf("a link cut was noticed after %s", s.Since.Sub(cut))
	if s.Cause != bfd.CauseDetectionExpired {
		t.Errorf("%+v", s)
	}
	until(t, "FRR's view", func() bool { return r.peer().Status == "down" })
	node.Up("eth0")
	o.await(path, "coming up again", up)
	if problem := o.Running().Problems[path]; problem != "" {
		t.Error(problem)
	}
}

func TestFRRPassive(t *testing.T) {
	node, host := pair(t)
	set := timers(50*ms, 3)
	set.Passive = true
	o, path := startOurs(t, node), bfd.Path{Peer: addr(router4)}
	o.watch(path, set)
	r := startFRR(t, host, append([]string{"peer " + node4}, frrTimers(50*ms, 3)...)...)
	o.await(path, "coming up, ourselves passive", up)

	r.configure("peer "+node4, "passive-mode")
	o.watch(path, timers(50*ms, 3))
	o.await(path, "staying up, FRR passive", up)
}

// TestFRREcho: FRR offers to loop echo packets, which its kernel does by forwarding.
func TestFRREcho(t *testing.T) {
	for _, family := range []struct{ name, node, router string }{{"IPv4", node4, router4}, {"IPv6", node6, router6}} {
		t.Run(family.name, func(t *testing.T) {
			node, host := pair(t)
			r := startFRR(t, host, append([]string{"peer " + family.node}, frrTimers(300*ms, 3)...)...)
			host.Forward()
			set := timers(300*ms, 5)
			set.Echo = 100 * ms
			o, path := startOurs(t, node), bfd.Path{Peer: addr(family.router)}
			o.watch(path, set)
			o.await(path, "echo", func(s bfd.Status) bool { return up(s) && s.Echoed && s.Echo == 100*ms && s.Detection == 3*time.Second })
			lasts(t, time.Second, "echo", func() bool { return o.Running().Sessions[path].Downs == 0 })

			stopped := time.Now()
			host.Sysctl("ipv4/ip_forward", "0")
			host.Sysctl("ipv6/conf/all/forwarding", "0")
			s := o.await(path, "echo failing", func(s bfd.Status) bool { return s.Downs == 1 })
			t.Logf("the end of forwarding was noticed after %s", time.Since(stopped))
			if s.State != bfd.Up && s.Cause != bfd.CauseEchoFailed {
				t.Errorf("%+v", s)
			}
			until(t, "FRR's view", func() bool { return r.downs() == 1 })
			host.Forward()
			o.await(path, "coming up again with echo", func(s bfd.Status) bool { return up(s) && s.Echoed })
		})
	}
}
