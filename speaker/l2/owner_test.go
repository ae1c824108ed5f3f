package l2

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"
)

func nic(name string, index int, edit ...func(*Interface)) Interface {
	i := Interface{
		Name: name, Index: index, MAC: macA, Up: true, LinkLocal: netip.MustParseAddr("fe80::a"),
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("fe80::a/64")},
	}
	for _, e := range edit {
		e(&i)
	}
	return i
}

func down(i *Interface)        { i.Up = false }
func noIPv4(i *Interface)      { i.Prefixes = i.Prefixes[1:] }
func noLinkLocal(i *Interface) { i.LinkLocal = netip.Addr{} }

var (
	one    = netip.MustParseAddr("192.0.2.101")
	two    = netip.MustParseAddr("192.0.2.102")
	oneV6  = netip.MustParseAddr("2001:db8::101")
	equate = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(), cmp.AllowUnexported(said{})}
)

func TestTakeoverIsAnnouncedInABurst(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101")
		pass(100 * time.Millisecond)
		apply(t, a, "192.0.2.101", "192.0.2.102") // only the new one is announced
		pass(10 * time.Second)
		apply(t, a, "192.0.2.101", "192.0.2.102") // nothing new
		synctest.Wait()
		const ms = time.Millisecond
		want := []said{{0, one}, {100 * ms, two}, {400 * ms, one}, {500 * ms, two}, {800 * ms, one}, {900 * ms, two}}
		if diff := cmp.Diff(want, s.all()[0].said(), equate); diff != "" {
			t.Error(diff)
		}
		if got := value(a.metrics.gratuitous.WithLabelValues("eth0", "arp")); got != 6 {
			t.Errorf("%v frames counted, want 6", got)
		}
	})
}

func TestRemovedAddressIsNotAnnouncedAnyMore(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101")
		synctest.Wait()
		r := apply(t, a)
		pass(time.Hour)
		if diff := cmp.Diff([]said{{0, one}}, s.all()[0].said(), equate); diff != "" {
			t.Error(diff)
		}
		if len(r.Addresses)+len(r.Problems)+len(s.all()[0].heard()) > 0 {
			t.Errorf("still running %v, filter for %v", r, s.all()[0].heard())
		}
	})
}

func TestRefreshIsSlowAndSpread(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101")
		pass(10 * time.Hour)
		times := s.all()[0].said()[burstCount:]
		if n := len(times); n < 160 || n > 267 { // 10 h in steps of 135 to 225 s
			t.Fatalf("%d refreshes in ten hours", n)
		}
		steps := map[time.Duration]bool{}
		for i := range times[1:] {
			step := times[i+1].at - times[i].at
			steps[step] = true
			if step < refreshEvery*3/4 || step > refreshEvery*5/4+time.Second {
				t.Errorf("refreshed after %s", step)
			}
		}
		if len(steps) < 2 {
			t.Error("no jitter")
		}
	})
}

func TestFailedSocketIsOpenedAgainWithGrowingPauses(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101")
		begin := time.Now()
		for time.Since(begin) < time.Hour { // each socket fails as soon as it is read
			for _, w := range s.live() {
				w.frames <- unix.EIO
			}
			pass(10 * time.Millisecond)
		}
		if n := len(s.all()); n < 90 || n > 190 {
			t.Errorf("%d sockets in an hour", n)
		}
		pass(maxBackoff * 2)
		last := s.live()[0]
		if len(last.said()) != burstCount {
			t.Errorf("announced %d times on the new socket, want %d", len(last.said()), burstCount)
		}
		if got := value(a.metrics.failures.WithLabelValues("eth0", "arp")); got != float64(len(s.all())-1) {
			t.Errorf("%v failures counted of %d sockets", got, len(s.all()))
		}
		pass(time.Hour) // long enough to be forgiven
		at := time.Now()
		last.frames <- unix.EIO
		for len(s.live()) == 0 {
			pass(10 * time.Millisecond)
		}
		if pause := time.Since(at); pause > 2*minBackoff {
			t.Errorf("first failure after a good hour: opened again after %s", pause)
		}
	})
}

func TestFailureIsReportedAndRecoveryToo(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101")
		expectChange(t, a) // the first scan
		s.do(func() { s.openErr = unix.EPERM })
		s.live()[0].frames <- unix.EIO
		synctest.Wait()
		expectChange(t, a)
		want := Running{Problems: map[netip.Addr]Problem{one: ProblemSocket}}
		if diff := cmp.Diff(want, apply(t, a, "192.0.2.101"), equate); diff != "" {
			t.Error(diff)
		}
		s.do(func() { s.openErr = nil })
		pass(2 * maxBackoff)
		expectChange(t, a)
		want = Running{Addresses: map[netip.Addr][]string{one: {"eth0"}}}
		if diff := cmp.Diff(want, apply(t, a, "192.0.2.101"), equate); diff != "" {
			t.Error(diff)
		}
	})
}

func TestUnfilterableSocketIsNotTrusted(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		s.do(func() { s.wires[0].hearErr = unix.ENOMEM })
		if p := apply(t, a, "192.0.2.101").Problems[one]; p != ProblemSocket {
			t.Errorf("problem %q", p)
		}
		pass(time.Second)
		if r := apply(t, a, "192.0.2.101"); len(s.all()) != 2 || len(r.Problems) > 0 {
			t.Errorf("after %d sockets: %v", len(s.all()), r)
		}
	})
}

func expectChange(t *testing.T, a *Announcer) {
	t.Helper()
	select {
	case <-a.Changed():
	default:
		t.Error("no change was told")
	}
	select {
	case <-a.Changed():
		t.Error("changes were not coalesced")
	default:
	}
}

func TestInterfacesComeGoAndChange(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		expectChange(t, a)
		r := apply(t, a, "192.0.2.101", "2001:db8::101")
		both := map[netip.Addr][]string{one: {"eth0"}, oneV6: {"eth0"}}
		if diff := cmp.Diff(Running{Addresses: both}, r, equate); diff != "" {
			t.Error(diff)
		}
		steps := []struct {
			name   string
			set    []Interface
			want   map[netip.Addr][]string
			opened int // sockets that this step opens
		}{
			{"another comes", []Interface{nic("eth0", 1), nic("eth1", 2)}, map[netip.Addr][]string{one: {"eth0", "eth1"}, oneV6: {"eth0", "eth1"}}, 2},
			{"a new address of its own changes no socket", []Interface{nic("eth0", 1, func(i *Interface) {
				i.Prefixes = append(i.Prefixes, netip.MustParsePrefix("203.0.113.1/24"))
			}), nic("eth1", 2)}, map[netip.Addr][]string{one: {"eth0", "eth1"}, oneV6: {"eth0", "eth1"}}, 0},
			{"link down", []Interface{nic("eth0", 1, down), nic("eth1", 2)}, map[netip.Addr][]string{one: {"eth1"}, oneV6: {"eth1"}}, 0},
			{"link up", []Interface{nic("eth0", 1), nic("eth1", 2)}, map[netip.Addr][]string{one: {"eth0", "eth1"}, oneV6: {"eth0", "eth1"}}, 2},
			{"one vanishes", []Interface{nic("eth0", 1)}, both, 0},
			{"hardware address changes", []Interface{nic("eth0", 1, func(i *Interface) { i.MAC = macB })}, both, 2},
			{"replaced by another of that name", []Interface{nic("eth0", 3)}, both, 2},
			{"renamed", []Interface{nic("lan0", 3)}, map[netip.Addr][]string{one: {"lan0"}, oneV6: {"lan0"}}, 2},
			{"link-local address lost", []Interface{nic("lan0", 3, noLinkLocal)}, map[netip.Addr][]string{one: {"lan0"}}, 0},
			{"link-local address back", []Interface{nic("lan0", 3)}, map[netip.Addr][]string{one: {"lan0"}, oneV6: {"lan0"}}, 1},
		}
		for _, st := range steps {
			pass(time.Minute)
			before := len(s.all())
			s.set(st.set...)
			expectChange(t, a)
			if diff := cmp.Diff(st.set, a.Interfaces(), equate, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("%s: interfaces: %s", st.name, diff)
			}
			fresh := s.all()[before:]
			if len(fresh) != st.opened {
				t.Errorf("%s: %d sockets opened, want %d", st.name, len(fresh), st.opened)
			}
			for _, w := range fresh { // without an Apply: the last word still stands
				if len(w.said()) != 1 || w.said()[0].at != 0 {
					t.Errorf("%s: announced %v at once", st.name, w.said())
				}
			}
			if diff := cmp.Diff(st.want, apply(t, a, "192.0.2.101", "2001:db8::101").Addresses, equate); diff != "" {
				t.Errorf("%s: %s", st.name, diff)
			}
			var names []string
			for _, i := range st.set {
				names = append(names, i.Name)
			}
			if diff := cmp.Diff(names, a.metrics.counted(t)); diff != "" {
				t.Errorf("%s: interfaces that are counted for: %s", st.name, diff)
			}
		}
	})
}

func TestEntriesKeepToTheirInterfaces(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{
		nic("eth0", 1), nic("eth1", 2), nic("down0", 3, down), nic("six0", 4, noIPv4), nic("four0", 5, noLinkLocal),
	}}
	on := func(names ...string) Entry { return Entry{Interfaces: names} }
	tests := map[string]struct {
		entry   Entry
		names   []string
		problem Problem
	}{
		"192.0.2.1":        {entry: on(), names: []string{"eth0", "eth1", "four0"}},
		"192.0.2.2":        {entry: on("eth1"), names: []string{"eth1"}},
		"192.0.2.3":        {entry: on("eth0", "gone0"), names: []string{"eth0"}},
		"192.0.2.4":        {entry: on("gone0"), problem: ProblemNoInterface},
		"192.0.2.5":        {entry: on("down0"), problem: ProblemLinkDown},
		"192.0.2.6":        {entry: on("down0", "six0"), problem: ProblemNoIPv4},
		"192.0.2.7":        {entry: on("six0", "down0"), problem: ProblemNoIPv4},
		"2001:db8::1":      {entry: on(), names: []string{"eth0", "eth1", "six0"}},
		"2001:db8::2":      {entry: on("four0"), problem: ProblemNoLinkLocal},
		"224.0.0.1":        {entry: on(), problem: ProblemInvalid},
		"0.0.0.0":          {entry: on(), problem: ProblemInvalid},
		"169.254.1.1":      {entry: on(), problem: ProblemInvalid},
		"::ffff:192.0.2.1": {entry: on(), problem: ProblemInvalid},
		"fe80::1%eth0":     {entry: on(), problem: ProblemInvalid},
	}
	d := Desired{Entries: map[netip.Addr]Entry{}}
	want := Running{Addresses: map[netip.Addr][]string{}, Problems: map[netip.Addr]Problem{}}
	for s, tt := range tests {
		a := netip.MustParseAddr(s)
		d.Entries[a] = tt.entry
		if tt.names != nil {
			want.Addresses[a] = tt.names
		} else {
			want.Problems[a] = tt.problem
		}
	}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		if diff := cmp.Diff(want, applyAll(t, a, d), equate); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStormOfChangesIsScannedAtAPace(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		pass(time.Minute)
		before := s.count(&s.scans)
		for range 1000 { // one second
			s.watching().events <- nil
			pass(time.Millisecond)
		}
		pass(time.Second)
		if n := s.count(&s.scans) - before; n < 15 || n > 25 {
			t.Errorf("%d scans in a second", n)
		}
	})
}

func TestLostWatchIsOpenedAgainAndScanned(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		pass(time.Minute)
		s.do(func() { s.interfaces = []Interface{nic("eth0", 1), nic("eth1", 2)} }) // a change that nobody tells
		s.watching().events <- unix.ENOBUFS
		synctest.Wait()
		if s.count(&s.watches) != 2 || len(a.Interfaces()) != 2 {
			t.Fatalf("%d watchers, %d interfaces", s.count(&s.watches), len(a.Interfaces()))
		}
		begin := time.Now()
		for time.Since(begin) < time.Hour {
			if w := s.watching(); !isDone(w.done) {
				w.events <- unix.EIO
			}
			pass(10 * time.Millisecond)
		}
		if n := s.count(&s.watches); n > 190 {
			t.Errorf("%d watchers in an hour of failures", n)
		}
	})
}

func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestFailedScanKeepsWhatIsKnown(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		s.do(func() { s.scanErr = errors.New("no memory") })
		pass(time.Minute)
		s.set()
		pass(time.Hour)
		if n := s.count(&s.scans); n < 50 || n > 200 || len(s.live()) != 2 {
			t.Errorf("%d scans in a bad hour, %d sockets left", n, len(s.live()))
		}
		s.do(func() { s.scanErr = nil })
		pass(2 * maxBackoff)
		if len(s.live()) != 0 || len(a.Interfaces()) != 0 {
			t.Error("the scan was not made up for")
		}
	})
}

func TestReady(t *testing.T) {
	t.Run("with sockets open", func(t *testing.T) {
		s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
		bubble(t, s, func(t *testing.T, a *Announcer) { <-a.Ready() })
	})
	t.Run("without any interface", func(t *testing.T) {
		bubble(t, &fakeSystem{}, func(t *testing.T, a *Announcer) { <-a.Ready() })
	})
	t.Run("not before a socket opens", func(t *testing.T) {
		s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}, openErr: unix.EPERM}
		bubble(t, s, func(t *testing.T, a *Announcer) {
			pass(time.Hour)
			if isDone(a.Ready()) {
				t.Error("ready without a socket")
			}
			s.do(func() { s.openErr = nil })
			<-a.Ready()
		})
	})
}

func TestApplyEndsWithItsContextAndWithRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := newMetrics(nil)
		a := newAnnouncer(testLog(t), m, func() (system, error) { return nil, errors.New("no netlink") })
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := a.Apply(ctx, Desired{}); !errors.Is(err, context.Canceled) {
			t.Errorf("before Run: %v", err)
		}
		if err := a.Run(context.Background()); err == nil {
			t.Error("Run without netlink ended well")
		}
		if _, err := a.Apply(context.Background(), Desired{}); !errors.Is(err, ErrStopped) {
			t.Errorf("after Run: %v", err)
		}
	})
}

func TestAnswersAreCounted(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		apply(t, a, "192.0.2.101", "2001:db8::101")
		for _, w := range s.live() {
			for _, x := range []netip.Addr{one, oneV6, two} { // on each socket one of them is ours
				w.frames <- heard{asked: x}
			}
		}
		synctest.Wait()
		if replies(a, "eth0", protocolARP) != 1 || replies(a, "eth0", protocolNDP) != 1 {
			t.Error("answers not counted")
		}
	})
}

func TestAnnouncementsThatCannotBeSentAreMadeUpFor(t *testing.T) {
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	d := Desired{Entries: map[netip.Addr]Entry{}}
	for _, a := range many(10 * chunk) {
		d.Entries[a] = Entry{}
	}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		s.do(func() { s.wires[0].sendErr = unix.ENOBUFS })
		applyAll(t, a, d)
		pass(10 * time.Second)
		tries := len(s.all()[0].said())
		if tries < 5*chunk || tries > 9*chunk {
			t.Errorf("%d announcements tried in ten seconds without success", tries)
		}
		s.do(func() { s.wires[0].sendErr = nil })
		pass(2 * maxBackoff)
		if n := len(s.all()[0].said()) - tries; n < burstCount*10*chunk {
			t.Errorf("%d announcements after that, want at least %d", n, burstCount*10*chunk)
		}
	})
}
