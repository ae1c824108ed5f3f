//go:build linux

package bgp

import (
	"bufio"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

func (c *cable) has(dst string) {
	c.t.Helper()
	eventually(c.t, dst+" is in the router's kernel", func() error {
		if c.via(dst) == "" {
			return fmt.Errorf("routes %v", c.kernel())
		}
		return nil
	})
}

func (c *cable) hasNot(dst string) {
	c.t.Helper()
	eventually(c.t, dst+" is not in the router's kernel", func() error {
		if via := c.via(dst); via != "" {
			return fmt.Errorf("via %s", via)
		}
		return nil
	})
}

func TestRouterRestarts(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	d := only(c.peer(routes("203.0.113.7/32")))
	e.established(d)
	c.has("203.0.113.7")
	f.Kill()
	e.until(d, "the loss is noticed", func(s bgp.Status) bool { return s.State == bgp.Connecting && s.Flaps == 1 })
	f = c.frr(frrBasic)
	e.established(d)
	hears(t, f, "203.0.113.7/32", path{ASPath: text("64512"), Origin: "IGP", Nexthops: nextHop(c.node4.String())})
	c.has("203.0.113.7")
}

func TestAdministrativeShutdown(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	d := only(c.peer(routes("203.0.113.7/32")))
	e.established(d)
	c.has("203.0.113.7")
	if err := f.Configure(t.Context(), "router bgp 64513", "neighbor "+c.node4.String()+" shutdown message back at noon"); err != nil {
		t.Fatal(err)
	}
	s := e.becomes(d, bgp.ReasonShutdown)
	if !strings.Contains(s.Message, "back at noon") {
		t.Errorf("message %q", s.Message)
	}
	c.hasNot("203.0.113.7")
	if err := f.Configure(t.Context(), "router bgp 64513", "no neighbor "+c.node4.String()+" shutdown"); err != nil {
		t.Fatal(err)
	}
	e.established(d)
	c.has("203.0.113.7")
}

// TestRouteRefresh: a router whose filter has changed asks for the routes again (RFC 2918), and gets them over the same session.
func TestRouteRefresh(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic + ` address-family ipv4 unicast
  neighbor $node4 route-map wanted in
 exit-address-family
 address-family ipv6 unicast
  neighbor $node4 route-map wanted in
 exit-address-family
!
route-map wanted deny 10
`)
	e := newEngine(t)
	d := only(c.peer(routes("203.0.113.7/32", "2001:db8::7/128")))
	since := e.established(d).Since
	eventually(t, "the router has been told of both", func() error {
		var told map[string]struct {
			MessageStats struct{ UpdatesRecv int }
		}
		err := f.JSON(t.Context(), "show bgp neighbors "+c.node4.String(), &told)
		if n := told[c.node4.String()].MessageStats.UpdatesRecv; err == nil && n < 2 {
			err = fmt.Errorf("%d UPDATEs", n)
		}
		return err
	})
	if k := c.kernel(); len(k) != 0 {
		t.Errorf("routes %v", k)
	}
	if err := f.Configure(t.Context(), "no route-map wanted deny 10", "route-map wanted permit 10"); err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		if _, err := f.Show(t.Context(), "clear bgp "+family+" unicast "+c.node4.String()+" soft in"); err != nil {
			t.Fatal(err)
		}
	}
	c.has("203.0.113.7")
	c.has("2001:db8::7")
	if s := e.apply(d).Peers["r"]; s.Since != since || s.Flaps != 0 {
		t.Errorf("the session has not run on: %+v", s)
	}
}

// TestSilentRouter: the router's process hangs. Its kernel goes on acknowledging, so only the hold time tells.
func TestSilentRouter(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.HoldTime, p.Session.KeepaliveTime = 3*time.Second, time.Second
	if s := e.established(only(p)); s.HoldTime != 3*time.Second {
		t.Errorf("hold time %s", s.HoldTime)
	}
	if err := f.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.until(only(p), "the silence is noticed", func(s bgp.Status) bool { return s.Flaps == 1 && s.State == bgp.Connecting })
	if err := f.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.established(only(p))
	c.has("203.0.113.7")
}

// TestHalfOpen: the cable is cut, so not even a reset arrives.
func TestHalfOpen(t *testing.T) {
	c := newCable(t)
	c.frr(frrBasic)
	e := newEngine(t)
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.HoldTime, p.Session.KeepaliveTime = 3*time.Second, time.Second
	e.established(only(p))
	ip(t, "-n", c.ns, "link", "set", "eth0", "down")
	s := e.until(only(p), "the loss is noticed", func(s bgp.Status) bool { return s.Flaps == 1 && s.State == bgp.Connecting })
	t.Log(s.Reason, s.Message)
	ip(t, "-n", c.ns, "link", "set", "eth0", "up")
	ip(t, "-n", c.ns, "addr", "replace", c.us6.String()+"/64", "dev", "eth0", "nodad")
	e.established(only(p))
	c.has("203.0.113.7")
}

func TestPeersDoNotDisturbEachOther(t *testing.T) {
	a, b := newCable(t), newCable(t)
	a.frr(frrBasic)
	b.frr(frrBasic)
	e := newEngine(t)
	d := bgp.Desired{Peers: map[string]bgp.Peer{"r": a.peer(routes("203.0.113.7/32"))}}
	since := e.established(d).Since
	d.Peers["b"] = b.peer(routes("203.0.113.7/32"))
	bUp := func(bgp.Status) bool { return e.apply(d).Peers["b"].State == bgp.Established }
	e.until(d, "the second is up", bUp)

	changed := b.peer(routes("203.0.113.8/32"))
	changed.Session.RouterID = changed.Session.RouterID.Next().Next()
	d.Peers["b"] = changed
	e.until(d, "the second is up again", func(s bgp.Status) bool { return bUp(s) && e.apply(d).Peers["b"].Flaps == 1 })
	b.has("203.0.113.8")

	timers := a.peer(routes("203.0.113.7/32"))
	timers.Session.HoldTime, timers.Session.ConnectTime = 30*time.Second, time.Second
	d.Peers["r"] = timers
	e.apply(d)
	delete(d.Peers, "b")
	e.apply(d)
	b.hasNot("203.0.113.8")
	if s := e.apply(d).Peers["r"]; s.Since != since || s.State != bgp.Established || s.Flaps != 0 {
		t.Errorf("the first peer's session has not run on: %+v", s)
	}
}

func TestDrain(t *testing.T) {
	for _, asn := range []uint32{64513, 64512} {
		t.Run(fmt.Sprintf("AS 64512 to %d", asn), func(t *testing.T) {
			c := newCable(t)
			f := c.frr(strings.Replace(frrBasic, "router bgp 64513", fmt.Sprintf("router bgp %d\n bgp graceful-restart", asn), 1))
			e := newEngine(t)
			p := c.peer(routes("203.0.113.7/32"))
			p.Session.PeerASN, p.Session.GracefulRestart = asn, true // drained all the same
			e.established(only(p))
			c.has("203.0.113.7")
			p.Mode, p.Reason = bgp.Draining, "node drained"
			e.apply(only(p))
			eventually(t, "the route is the last choice", func() error {
				all := paths(t, f, "203.0.113.7/32")
				if len(all) != 1 || all[0].Community.String != "graceful-shutdown" || all[0].LocPrf != 0 {
					return fmt.Errorf("paths %+v", all)
				}
				return nil
			})
			c.has("203.0.113.7")
			p.Mode = bgp.Down
			e.apply(only(p))
			e.until(only(p), "the session is down", func(s bgp.Status) bool {
				return s.State == bgp.Idle && s.Reason == bgp.ReasonDown && s.Message == "node drained"
			})
			c.hasNot("203.0.113.7")
			logs(t, f, "received", "Administrative Shutdown", "node drained")
			p.Mode, p.Reason = bgp.Up, ""
			e.established(only(p))
			hears(t, f, "203.0.113.7/32", path{
				ASPath: map[uint32]struct{ String string }{64513: text("64512"), 64512: text("Local")}[asn], Origin: "IGP",
				LocPrf: map[uint32]uint32{64512: 100}[asn], Nexthops: nextHop(c.node4.String()),
			})
		})
	}
}

// events records what happens to the routes of a router's kernel.
type events struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	all []string
}

func (c *cable) watch() *events {
	c.t.Helper()
	e := &events{cmd: exec.Command("ip", "-n", c.ns, "monitor", "route")}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			e.mu.Lock()
			e.all = append(e.all, s.Text())
			e.mu.Unlock()
		}
	}()
	c.t.Cleanup(func() { e.cmd.Process.Kill(); e.cmd.Wait() })
	c.mark(e, "198.18.0.1")
	return e
}

// mark changes routes of our own until the watch has seen one: from then on it sees all, or else, it has seen all up to here.
func (c *cable) mark(e *events, dst string) {
	c.t.Helper()
	metric := 0
	eventually(c.t, "the watch sees a route", func() error {
		metric++
		ip(c.t, "-n", c.ns, "route", "add", dst, "dev", "lo", "metric", strconv.Itoa(metric))
		if len(e.of(dst)) == 0 {
			return fmt.Errorf("nothing seen")
		}
		return nil
	})
}

func (e *events) of(dst string) (found []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, line := range e.all {
		if strings.Contains(line, dst+" ") {
			found = append(found, line)
		}
	}
	return found
}

// TestGracefulRestart kills the speaker. The routes that it announces again stay in the router's kernel without a single
// event; the one that it does not is gone as soon as it has said so.
func TestGracefulRestart(t *testing.T) {
	c := newCable(t)
	f := c.frr(strings.Replace(frrBasic, "bgp router-id", "bgp graceful-restart\n bgp router-id", 1))
	p := c.peer(routes("203.0.113.7/32", "203.0.113.8/32", "2001:db8::7/128", "2001:db8::8/128"))
	p.Session.GracefulRestart, p.Session.RestartTime = true, 60*time.Second
	first := newProcess(t)
	first.established(only(p))
	for _, dst := range []string{"203.0.113.7", "203.0.113.8", "2001:db8::7", "2001:db8::8"} {
		c.has(dst)
	}
	seen := c.watch()
	first.kill()
	eventually(t, "the router keeps the routes as stale", func() error {
		if all := paths(t, f, "203.0.113.7/32"); len(all) != 1 || !all[0].Stale {
			return fmt.Errorf("paths %+v", all)
		}
		return nil
	})
	delete(p.Routes, netip.MustParsePrefix("203.0.113.8/32"))
	delete(p.Routes, netip.MustParsePrefix("2001:db8::8/128"))
	second := newProcess(t)
	second.established(only(p))
	c.hasNot("203.0.113.8")
	c.hasNot("2001:db8::8")
	c.mark(seen, "198.18.0.2")
	for _, dst := range []string{"203.0.113.7", "2001:db8::7"} {
		c.has(dst)
		if ev := seen.of(dst); len(ev) > 0 {
			t.Errorf("%s was touched: %q", dst, ev)
		}
	}
	hears(t, f, "203.0.113.7/32", path{ASPath: text("64512"), Origin: "IGP", Nexthops: nextHop(c.node4.String())}) // not stale
}

// TestUpgrade ends the engine as an upgrade does, and begins another.
func TestUpgrade(t *testing.T) {
	c := newCable(t)
	c.frr(strings.Replace(frrBasic, "bgp router-id", "bgp graceful-restart\n bgp router-id", 1))
	p := c.peer(routes("203.0.113.7/32"))
	p.Session.GracefulRestart = true
	e := newEngine(t)
	if s := e.established(only(p)); s.Graceful != wire.IPv4|wire.IPv6 {
		t.Fatalf("graceful restart agreed for %q", s.Graceful)
	}
	c.has("203.0.113.7")
	seen := c.watch()
	e.stop()
	newEngine(t).established(only(p))
	c.mark(seen, "198.18.0.2")
	if ev := seen.of("203.0.113.7"); len(ev) > 0 {
		t.Errorf("the route was touched: %q", ev)
	}
}

// TestStopWithoutGracefulRestart: then the route is withdrawn and the router told.
func TestStopWithoutGracefulRestart(t *testing.T) {
	c := newCable(t)
	f := c.frr(frrBasic)
	e := newEngine(t)
	e.established(only(c.peer(routes("203.0.113.7/32"))))
	c.has("203.0.113.7")
	e.stop()
	c.hasNot("203.0.113.7")
	logs(t, f, "received", "Administrative Shutdown", "speaker stops")
}

const birdBasic = `
router id 198.51.100.1;
protocol device {}
protocol kernel { ipv4 { export all; import none; }; }
protocol kernel { ipv6 { export all; import none; }; }
protocol bgp node {
	local $us4 as 64513;
	neighbor $node4 as 64512;
	connect delay time 1;
	ipv4 { import all; export none; };
	ipv6 { import all; export none; };
}
`

func TestBIRD(t *testing.T) {
	c := newCable(t)
	b := c.bird(birdBasic)
	e := newEngine(t)
	d := only(c.peer(map[netip.Prefix]bgp.Route{
		netip.MustParsePrefix("203.0.113.7/32"): decorated(), netip.MustParsePrefix("2001:db8::7/128"): {},
	}))
	e.established(d)
	c.has("203.0.113.7")
	c.has("2001:db8::7")
	out, err := b.Show(t.Context(), "route 203.0.113.7/32 all")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"BGP.as_path: 64512 64512 64512", "BGP.med: 50", "(65000,7) (65535,65281)", "(4200000000, 1, 2)", "(rt, 65000, 9)", "BGP.next_hop: " + c.node4.String(),
	} {
		if !strings.Contains(out, want) {
			t.Errorf("BIRD does not have %q:\n%s", want, out)
		}
	}
	e.apply(bgp.Desired{})
	c.hasNot("203.0.113.7")
	c.hasNot("2001:db8::7")
}
