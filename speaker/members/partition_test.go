package members

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func relaxed(o *Options) { o.Profile = ProfileRelaxed }

func TestPartitionHeals(t *testing.T) {
	for _, tc := range []struct {
		name  string
		peers func(*cluster) map[string]netip.AddrPort
	}{
		{"peers are known from outside", func(c *cluster) map[string]netip.AddrPort { return c.peers(5) }},
		{"the lost are remembered", func(c *cluster) map[string]netip.AddrPort { return c.peers(1) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFabric()
			c := newCluster(t, f)
			for i := range 5 {
				c.start(i).SetPeers(tc.peers(c))
			}
			c.agree(5)
			f.split(1, c.address(3), c.address(4))
			for i, m := range c.members {
				want := 3
				if i > 2 {
					want = 2
				}
				eventually(t, "the partition", func() bool { return len(m.Members()) == want })
			}
			_ = c.members[0].Publish([]byte("left half"))
			_ = c.members[4].Publish(filled(50_000, 4))
			f.split(0, c.address(3), c.address(4))
			c.agree(5)
			c.eventually("facts of both halves", func(m *member) bool {
				return m.hasFacts("n00", []byte("left half")) && m.hasFacts("n04", filled(50_000, 4))
			})
			for i, m := range c.members {
				for k, o := range m.Members() {
					// Those of one half may have heard of each other's death from the other half, too.
					if across := i > 2 != (k > 2); across && o.Joins < 2 || o.Joins == 0 {
						t.Errorf("%s saw %s come %d times", m.opts.Name, o.Name, o.Joins)
					}
				}
			}
		})
	}
}

func TestThirtyMembersConverge(t *testing.T) {
	const n = 30
	c := newCluster(t, newFabric())
	for i := range n {
		// Everyone knows one member only, and has facts from the start.
		c.start(i, relaxed, func(g *Group) { _ = g.Publish([]byte(g.opts.Name)) }).SetPeers(c.peers(1))
	}
	c.agree(n)
	for i := range n {
		name := fmt.Sprintf("n%02d", i)
		c.eventually("facts of "+name, func(m *member) bool { return m.hasFacts(name, []byte(name)) })
	}
	small, large := filled(4_000, 1), filled(50_000, 2)
	_ = c.members[7].Publish(small)
	_ = c.members[8].Publish(large)
	c.eventually("changed facts", func(m *member) bool { return m.hasFacts("n07", small) && m.hasFacts("n08", large) })
}

func TestSettled(t *testing.T) {
	t.Run("nobody else", func(t *testing.T) {
		c := newCluster(t, newFabric())
		m := c.start(0)
		m.SetPeers(c.peers(1))
		<-m.Settled()
	})
	t.Run("one is absent", func(t *testing.T) {
		c := newCluster(t, newFabric())
		for i := range 2 {
			c.start(i).SetPeers(c.peers(3))
		}
		c.agree(2)
		for _, m := range c.members {
			select {
			case <-m.Settled():
				t.Error("settled without n02")
			default:
			}
		}
		c.start(2).SetPeers(c.peers(3))
		for _, m := range c.members {
			<-m.Settled()
		}
	})
	t.Run("one stays absent", func(t *testing.T) {
		c := newCluster(t, newFabric())
		m := c.start(0, func(o *Options) { o.JoinWindow = 50 * time.Millisecond })
		m.SetPeers(c.peers(3))
		<-m.Settled()
	})
	t.Run("peers unknown", func(t *testing.T) {
		c := newCluster(t, newFabric())
		m := c.start(0, func(o *Options) { o.JoinWindow = time.Nanosecond })
		eventually(t, "the start", func() bool { return len(m.Members()) == 1 })
		select {
		case <-m.Settled():
			t.Error("settled before anyone named peers")
		default:
		}
	})
}

// TestDeafForAMoment: what a member says while nobody hears anything is said again.
func TestDeafForAMoment(t *testing.T) {
	f := newFabric()
	c := newCluster(t, f)
	ms := c.started(2, blind, func(g *Group) { g.timing.gossipInterval = 200 * time.Millisecond })
	speaker := f.ports[c.address(0)]
	f.split(1, speaker.addr)
	before := speaker.sent.Load()
	ms[0].SetState(Draining)
	// Memberlist says it four times, and four times more when it is said again.
	eventually(t, "the first of the repeats", func() bool { return speaker.sent.Load() >= before+8 })
	f.split(0, speaker.addr)
	eventually(t, "the state", func() bool { m, _ := ms[1].sees("n00"); return m.State == Draining })
}
