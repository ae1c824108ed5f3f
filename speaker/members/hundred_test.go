package members

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is many members in a network of memory, and in a bubble: its clock runs only when nobody has anything to do, so that
// the figures are the protocol's own on any machine.
type crowd struct {
	t      *testing.T
	fabric *fabric
	groups []*Group
	ports  []*port
	ended  []chan error
	stop   context.CancelFunc
}

// ownFacts is as much as a node with ten scattered addresses and two interfaces tells.
const ownFacts = 600

func newCrowd(t *testing.T, n int, profile Profile) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{t: t, fabric: newFabric(), stop: stop}
	peers := map[string]netip.AddrPort{}
	for i := range n {
		peers[crowdName(i)] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), DefaultPort)
	}
	for i := range n {
		o := Options{
			Name: crowdName(i), Bind: peers[crowdName(i)], Key: secret, Version: "v1.2.3", Profile: profile, JoinWindow: time.Hour,
		}
		p := c.fabric.port(o.Bind)
		o.transport = p
		g, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		g.SetPeers(peers)
		if err := g.Publish(filled(ownFacts, byte(i))); err != nil {
			t.Fatal(err)
		}
		g.SetState(Ready)
		g.SetStopMode(StopVanish)
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx) }()
		c.groups, c.ports, c.ended = append(c.groups, g), append(c.ports, p), append(c.ended, ended)
	}
	return c
}

func crowdName(i int) string { return fmt.Sprintf("node-%05d", i) }

func (c *crowd) end() {
	c.stop()
	for i, e := range c.ended {
		if err := <-e; err != nil {
			c.t.Errorf("%s: %v", crowdName(i), err)
		}
	}
	time.Sleep(30 * time.Second) // memberlist's own goroutines end with their timeouts
}

// until returns how long it takes until it holds for all but the lost.
func (c *crowd) until(what string, lost map[int]bool, holds func(*Group) bool) time.Duration {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		all := true
		for i, g := range c.groups {
			all = all && (lost[i] || holds(g))
		}
		if all {
			return time.Since(began)
		}
		if time.Since(began) > time.Minute {
			c.t.Fatal("gave up waiting for ", what)
		}
	}
}

// load is what one node sends on average, and the busiest, in a second.
type load struct{ packets, bytes, streamed, most float64 }

// String makes a row of a table.
func (l load) String() string {
	return fmt.Sprintf("%.1f packets/s, %.0f B/s (the busiest node %.0f B/s), push/pull %.0f B/s", l.packets, l.bytes, l.most, l.streamed)
}

// during measures what is sent while f lasts.
func (c *crowd) during(f func()) (l load) {
	type counts struct{ sent, bytes, streamed int64 }
	look := func() (out []counts) {
		for _, p := range c.ports {
			out = append(out, counts{p.sent.Load(), p.bytes.Load(), p.streamed.Load()})
		}
		return out
	}
	began, before := time.Now(), look()
	f()
	after, took, n := look(), time.Since(began).Seconds(), float64(len(c.ports))
	for i := range after {
		l.packets += float64(after[i].sent-before[i].sent) / took / n
		l.bytes += float64(after[i].bytes-before[i].bytes) / took / n
		l.streamed += float64(after[i].streamed-before[i].streamed) / took / n
		l.most = max(l.most, float64(after[i].bytes-before[i].bytes)/took)
	}
	return l
}

// crowded has members find each other, rest, and lose one of them, whose share the others tell anew. The limits are what the
// documentation promises.
func crowded(t *testing.T, profile Profile, n int, rest, forgets time.Duration, most float64) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, n, profile)
		defer c.end()
		everybody := func(want int) func(*Group) bool {
			return func(g *Group) bool {
				known := 0
				for _, m := range g.Members() {
					if m.Current && m.State == Ready {
						known++
					}
				}
				return known == want
			}
		}
		joined := c.until("all to know all", nil, everybody(n))
		time.Sleep(5 * time.Second) // what was to be said about it is said
		idle := c.during(func() { time.Sleep(rest) })
		if idle.bytes > most {
			t.Errorf("idle: %s, want %.0f B/s at most", idle, most)
		}
		dead := n / 2
		c.fabric.split(1, c.ports[dead].addr)
		var noticed, told time.Duration
		death := c.during(func() {
			noticed = c.until("its death to be known", map[int]bool{dead: true}, func(g *Group) bool { return len(g.Members()) == n-1 })
			for i := range min(10, n-1) { // so many nodes take over what it had
				if err := c.groups[(dead+1+i)%n].Publish(filled(ownFacts+20, byte(i))); err != nil {
					t.Fatal(err)
				}
			}
			told = c.until("what has changed to be known", map[int]bool{dead: true}, func(g *Group) bool {
				news := 0
				for _, m := range g.Members() {
					if m.Current && len(m.Facts) == ownFacts+20 {
						news++
					}
				}
				return news == min(10, n-1)
			})
		})
		if noticed > forgets {
			t.Errorf("a death was known to all after %s, want %s", noticed, forgets)
		}
		t.Logf("%s, %d nodes: joined after %s; idle: %s; a death is known to all after %s, who has what %s later; meanwhile: %s",
			profile, n, joined, idle, noticed, told, death)
	})
}

// TestHundred is the default profile at 100 nodes.
func TestHundred(t *testing.T) { crowded(t, ProfileDefault, 100, 10*time.Second, 3*time.Second, 2000) }
