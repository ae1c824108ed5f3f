package members

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// blind turns failure detection and push/pull off: what is seen then came by
// a message about it.
func blind(g *Group) {
	g.timing.probeInterval, g.timing.pushPull = time.Hour, time.Hour
}

func TestThreeMembersJoin(t *testing.T) {
	c := newCluster(t, nil)
	c.started(3)
	for _, m := range c.members {
		<-m.Settled()
		for i, o := range m.Members() {
			want := Member{Name: fmt.Sprintf("n%02d", i), Addr: c.address(i).Addr(), Version: "v1.2.3", Current: true}
			if o.Name != want.Name || o.Addr != want.Addr || o.Version != want.Version || !o.Current || o.State != Starting || o.Facts != nil {
				t.Errorf("%s sees %+v, want %+v", m.opts.Name, o, want)
			}
		}
		if got := value(t, m.metrics.alive); got != 3 {
			t.Errorf("belfry_members_alive = %v, want 3", got)
		}
	}
}

func TestIPv6(t *testing.T) {
	c := newCluster(t, nil)
	peers := map[string]netip.AddrPort{}
	for i := range 2 {
		addr := freePort6(t)
		peers[fmt.Sprintf("n%02d", i)] = addr
		c.start(i, func(o *Options) { o.Bind = addr })
	}
	for _, m := range c.members {
		m.SetPeers(peers)
	}
	c.agree(2)
	if err := c.members[0].Publish(filled(20_000, 6)); err != nil {
		t.Fatal(err)
	}
	c.eventually("facts", func(m *member) bool { return m.hasFacts("n00", filled(20_000, 6)) })
}

// freePort6 needs the port for TCP and UDP: it takes one from both.
func freePort6(t *testing.T) netip.AddrPort {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return addr
		}
	}
	t.Fatal("no port is free on ::1")
	return netip.AddrPort{}
}

func TestFactsConverge(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3, blind)
	for _, size := range []int{1, 900, 5_000, 50_000, MaxFacts, 10, 0} {
		for i, m := range ms {
			if err := m.Publish(filled(size, byte(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range ms {
			c.eventually(fmt.Sprintf("%d bytes of facts", size), func(m *member) bool {
				return m.hasFacts(fmt.Sprintf("n%02d", i), filled(size, byte(i)))
			})
		}
	}
	if err := ms[0].Publish(make([]byte, MaxFacts+1)); err == nil {
		t.Error("more than MaxFacts were taken")
	}
}

// TestFactsFirst: who is named has the facts before any gossip leaves.
func TestFactsFirst(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(2, blind, func(g *Group) {
		g.timing.gossipInterval = time.Hour
		_ = g.Publish([]byte("what is told at the join"))
	})
	for i, size := range []int{100, 5_000, 50_000} {
		if err := ms[0].Publish(filled(size, byte(i)), "n01", "n99", "n00"); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("%d bytes of facts", size), func() bool {
			m, _ := ms[1].sees("n00")
			return bytes.Equal(m.Facts, filled(size, byte(i)))
		})
	}
}

func TestFactsBeforeTheJoin(t *testing.T) {
	c := newCluster(t, nil)
	for i := range 3 {
		m := c.start(i, blind, func(g *Group) { g.SetState(Ready); _ = g.Publish(filled(3000, g.opts.Name[2])) })
		m.SetPeers(c.peers(3))
	}
	for _, m := range c.members {
		<-m.Settled()
		for _, o := range m.Members() {
			if o.State != Ready || !m.hasFacts(o.Name, filled(3000, o.Name[2])) {
				t.Errorf("%s was settled with %s in state %s, current %v", m.opts.Name, o.Name, o.State, o.Current)
			}
		}
	}
}

func TestStateReachesOthers(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3, blind)
	for _, s := range []State{Ready, Draining, Restarting, Ready} {
		ms[1].SetState(s)
		c.eventually("n01 is "+s.String(), func(m *member) bool {
			o, _ := m.sees("n01")
			return o.State == s
		})
	}
}

func TestChangedWakes(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(2)
	ms[0].SetState(Ready)
	for {
		if o, _ := ms[1].sees("n00"); o.State == Ready {
			return
		}
		select {
		case <-ms[1].Changed():
		case <-time.After(patience):
			t.Fatal("no change was signalled")
		}
	}
}

func TestLeaveIsTold(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3, blind)
	ms[2].cancel()
	<-ms[2].ended
	c.agree(2)
}

// The control of TestLeaveIsTold: a member that vanishes says its last state
// and nothing of going away.
func TestVanishTellsTheLastStateOnly(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3, blind)
	ms[2].SetState(Restarting)
	ms[2].kill()
	c.eventually("n02 is restarting", func(m *member) bool {
		o, _ := m.sees("n02")
		return o.State == Restarting
	})
	ms[0].SetState(Ready)
	c.eventually("n00 is ready", func(m *member) bool {
		o, _ := m.sees("n00")
		return o.State == Ready
	})
	for _, m := range ms[:2] {
		if _, ok := m.sees("n02"); !ok {
			t.Errorf("%s heard that n02 is gone", m.opts.Name)
		}
	}
}

func TestDeathIsNoticed(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3)
	ms[2].kill()
	c.agree(2)
	if got := value(t, ms[0].metrics.changes.WithLabelValues(changeLeave)); got != 1 {
		t.Errorf("counted %v departures, want 1", got)
	}
}

func TestRestartUnderTheSameName(t *testing.T) {
	for _, tc := range []struct {
		name  string
		clock func(*Group)
	}{
		{"clock goes on", func(*Group) {}},
		{"clock set back", func(g *Group) {
			g.mine.Store(&own{stamp: stamp{version: version{incarnation: 1}}})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCluster(t, nil)
			ms := c.started(3, blind)
			_ = ms[2].Publish([]byte("before"))
			c.eventually("facts", func(m *member) bool { return m.hasFacts("n02", []byte("before")) })
			ms[2].kill()
			m := c.start(2, blind, tc.clock, func(o *Options) { o.Version = "v2" })
			m.SetPeers(c.peers(3))
			_ = m.Publish([]byte("after"))
			c.eventually("the new facts", func(m *member) bool {
				o, _ := m.sees("n02")
				return o.Version == "v2" && m.hasFacts("n02", []byte("after"))
			})
		})
	}
}

func TestWrongKeyNeverJoins(t *testing.T) {
	c := newCluster(t, nil)
	other := []byte("another secret")
	ms := c.started(2)
	stranger := c.start(2, func(o *Options) { o.Key = other })
	stranger.SetPeers(c.peers(3))
	eventually(t, "several failed joins", func() bool { return value(t, stranger.metrics.joinFailures) > 3 })
	for _, m := range []*member{ms[0], ms[1], stranger} {
		eventually(t, "a report about the key at "+m.opts.Name, func() bool { return m.log.has(errOtherKey.Error()) })
	}
	if n := len(stranger.Members()); n != 1 {
		t.Errorf("the stranger sees %d members, want itself only", n)
	}
	if n := len(ms[0].Members()); n != 2 {
		t.Errorf("n00 sees %d members, want 2", n)
	}
	for _, m := range c.members {
		checkNoKeys(t, m.log.String(), secret, other)
	}
}

func checkNoKeys(t *testing.T, log string, secrets ...[]byte) {
	t.Helper()
	ks, err := deriveKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(ks, secrets...) {
		for _, form := range []string{string(key), hex.EncodeToString(key), base64.StdEncoding.EncodeToString(key), strings.Trim(fmt.Sprint(key), "[]")} {
			if strings.Contains(log, form) {
				t.Error("the log contains a key")
			}
		}
	}
}

func TestKeyRotation(t *testing.T) {
	c := newCluster(t, nil)
	ms := c.started(3)
	next := []byte("the next secret")
	for step, ks := range [][][]byte{{secret, next}, {next, secret}, {next}} {
		for i, m := range ms {
			if err := m.SetKeys(ks[0], ks[1:]...); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the keys", func() bool {
				return strings.Count(m.log.String(), "the group's keys changed") == step+1
			})
			facts := fmt.Appendf(nil, "step %d, member %d", step, i)
			_ = m.Publish(facts)
			c.eventually("facts with the new keys", func(o *member) bool { return o.hasFacts(m.opts.Name, facts) })
		}
	}
	late := c.start(3, func(o *Options) { o.Key = next })
	late.SetPeers(c.peers(1))
	c.agree(4)
	stranger := c.start(4)
	stranger.SetPeers(c.peers(1))
	eventually(t, "the old key to fail", func() bool { return stranger.log.has(errOtherKey.Error()) })
	for _, m := range ms {
		if got := value(t, m.metrics.changes.WithLabelValues(changeLeave)); got != 0 {
			t.Errorf("%s lost %v members", m.opts.Name, got)
		}
		checkNoKeys(t, m.log.String(), secret, next)
	}
}

func TestRunErrors(t *testing.T) {
	c := newCluster(t, nil)
	m := c.start(0)
	eventually(t, "the first run", func() bool { return len(m.Members()) == 1 })
	if err := m.Run(context.Background()); err == nil {
		t.Error("a second Run succeeded")
	}
	g, err := New(Options{Name: "other", Bind: c.address(0), Key: secret, Log: m.log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Run(context.Background()); err == nil || !strings.Contains(err.Error(), c.address(0).String()) {
		t.Errorf("Run on a taken address: %v", err)
	}
}
