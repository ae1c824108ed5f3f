package l2

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const ms = time.Millisecond

var (
	hostMAC   = MAC{2, 0, 0, 0, 0, 0xee} // a host that nobody knows
	friendMAC = MAC{2, 0, 0, 0, 0, 0xf1} // node "n1"
)

// entries makes a Desired with one entry for all addresses, in which n1 is a friend.
func entries(e Entry, list ...netip.Addr) Desired {
	d := Desired{Entries: map[netip.Addr]Entry{}, Stations: map[MAC]string{friendMAC: "n1"}}
	for _, a := range list {
		d.Entries[a] = e
	}
	return d
}

func answers(list ...netip.Addr) Running {
	r := Running{Addresses: map[netip.Addr][]string{}}
	for _, a := range list {
		r.Addresses[a] = []string{"eth0"}
	}
	return r
}

func withheld(p Problem, a netip.Addr, others ...Other) Running {
	r := Running{Problems: map[netip.Addr]Problem{a: p}}
	for _, o := range others {
		r.Others = map[netip.Addr]Other{a: o}
	}
	return r
}

func expect(t *testing.T, what string, want, got Running) {
	t.Helper()
	if diff := cmp.Diff(want, got, equate); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

// says has the wire hear a claim.
func (w *fakeWire) says(mac MAC, a netip.Addr) {
	w.frames <- heard{from: mac, claimed: a}
	synctest.Wait()
}

// wants has the wire hear a probe.
func (w *fakeWire) wants(mac MAC, a netip.Addr) {
	w.frames <- heard{from: mac, asked: a, source: netip.IPv4Unspecified(), probe: true}
	synctest.Wait()
}

func onOneWire(t *testing.T, story func(t *testing.T, a *Announcer, w *fakeWire)) {
	t.Helper()
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, noLinkLocal)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		<-a.Changed() // the first scan
		story(t, a, s.all()[0])
	})
}

func TestProbedAddressIsAnnouncedAfterSilence(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{Probe: true}, one)
		expect(t, "at first", withheld(ProblemProbing, one), applyAll(t, a, d))
		w.frames <- heard{from: MAC(macB), asked: one} // not answered yet
		pass(299 * ms)
		if len(w.said()) > 0 || len(w.replied) > 0 {
			t.Errorf("said %v, replied %v while probing", w.said(), w.replied)
		}
		pass(ms)
		expectChange(t, a)
		expect(t, "then", answers(one), applyAll(t, a, d))
		w.frames <- heard{from: MAC(macB), asked: one}
		pass(time.Second)
		if diff := cmp.Diff([]said{{0, one}, {100 * ms, one}, {200 * ms, one}}, w.asked(), equate); diff != "" {
			t.Error("probes: ", diff)
		}
		if diff := cmp.Diff([]said{{300 * ms, one}, {700 * ms, one}, {1100 * ms, one}}, w.said(), equate); diff != "" {
			t.Error("announcements: ", diff)
		}
		if !slices.Equal(w.replied, []MAC{MAC(macA)}) || len(w.watched) != 0 {
			t.Errorf("replied %v, still watched %v", w.replied, w.watched)
		}
		if got := value(a.metrics.probes.WithLabelValues("eth0", "arp")); got != 3 {
			t.Errorf("%v probes counted", got)
		}
	})
}

func TestProbeFindsAnother(t *testing.T) {
	for name, tt := range map[string]struct {
		mac   MAC
		probe bool
		want  Running
	}{
		"a host":                     {hostMAC, false, withheld(ProblemConflict, one, Other{hostMAC, "eth0", ""})},
		"a host that wants it too":   {hostMAC, true, withheld(ProblemConflict, one, Other{hostMAC, "eth0", ""})},
		"a friend":                   {friendMAC, false, withheld(ProblemHeld, one, Other{friendMAC, "eth0", "n1"})},
		"a friend that wants it too": {friendMAC, true, answers(one)},
		"ourselves":                  {MAC(macA), false, answers(one)},
	} {
		t.Run(name, func(t *testing.T) {
			onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
				d := entries(Entry{Probe: true}, one)
				applyAll(t, a, d)
				pass(250 * ms)
				if tt.probe {
					w.wants(tt.mac, one)
				} else {
					w.says(tt.mac, one)
				}
				pass(100 * ms)
				expectChange(t, a)
				expect(t, "after 350 ms", tt.want, applyAll(t, a, d))
				if answered := len(tt.want.Addresses) > 0; answered == (len(w.said()) == 0) {
					t.Errorf("announced %v", w.said())
				}
			})
		})
	}
}

// TestLostAddressIsAskedForAgain: with growing pauses, in each of which nobody is answered.
func TestLostAddressIsAskedForAgain(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{Probe: true}, one)
		applyAll(t, a, d)
		var starts []time.Duration
		for begin := time.Now(); time.Since(begin) < time.Hour; pass(10 * ms) {
			if n := len(w.asked()); n > 0 && (len(starts) == 0 || w.asked()[n-1].at != starts[len(starts)-1]) {
				starts = append(starts, w.asked()[n-1].at)
				w.says(hostMAC, one)
			}
		}
		for i := range starts[1:] {
			least := min(minRetry<<min(i, 10), maxRetry)
			if step := starts[i+1] - starts[i]; step < least || step > least*4/3+20*ms {
				t.Errorf("retry %d after %s, want %s or up to a third more", i+1, step, least)
			}
		}
		if len(starts) < 45 || len(w.said()) > 0 {
			t.Errorf("%d tries in an hour, %d announcements", len(starts), len(w.said()))
		}
		if got := value(a.metrics.conflicts.WithLabelValues("eth0", "arp")); got != 1 {
			t.Errorf("%v conflicts counted for one lasting conflict", got)
		}
		pass(2 * maxRetry) // the host has gone
		expect(t, "free", answers(one), applyAll(t, a, d))
	})
}

func TestTakeoverIsNeverProbed(t *testing.T) {
	standIn := Entry{As: map[string]MAC{"eth0": friendMAC}}
	for name, before := range map[string]Entry{
		"from a stand-in": standIn, "from silence": {As: map[string]MAC{}}, "announced without": {},
	} {
		t.Run(name, func(t *testing.T) {
			onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
				applyAll(t, a, entries(before, one))
				expect(t, "at once", answers(one), applyAll(t, a, entries(Entry{Probe: true}, one)))
				if len(w.asked()) > 0 {
					t.Errorf("probed %v", w.asked())
				}
			})
		})
	}
	t.Run("while probing", func(t *testing.T) {
		onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
			applyAll(t, a, entries(Entry{Probe: true}, one))
			pass(150 * ms)
			expect(t, "at once", answers(one), applyAll(t, a, entries(Entry{Monitor: true}, one)))
			pass(time.Second)
			if len(w.asked()) != 2 || len(w.said()) != burstCount {
				t.Errorf("probed %v, announced %v", w.asked(), w.said())
			}
		})
	})
	t.Run("back in time", func(t *testing.T) { // an old probing must not pass for the new one
		onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
			d := entries(Entry{Probe: true}, one)
			applyAll(t, a, d)
			pass(250 * ms)
			applyAll(t, a, entries(Entry{}))
			applyAll(t, a, d)
			pass(299 * ms)
			expect(t, "from the beginning", withheld(ProblemProbing, one), applyAll(t, a, d))
			pass(ms)
			expect(t, "then", answers(one), applyAll(t, a, d))
		})
	})
}

func TestProbingWaitsForSockets(t *testing.T) {
	d := entries(Entry{Probe: true}, one)
	s := &fakeSystem{interfaces: []Interface{nic("eth0", 1, down), nic("eth1", 2, noLinkLocal, down)}}
	bubble(t, s, func(t *testing.T, a *Announcer) {
		expect(t, "link down", withheld(ProblemLinkDown, one), applyAll(t, a, d))
		pass(time.Second)
		s.set(nic("eth0", 1, noLinkLocal), nic("eth1", 2, noLinkLocal))
		pass(250 * ms)
		expect(t, "links up", withheld(ProblemProbing, one), applyAll(t, a, d))
		s.set(nic("eth0", 1, down), nic("eth1", 2, down)) // an unfinished probing does not count
		pass(time.Second)
		expect(t, "links down again", withheld(ProblemLinkDown, one), applyAll(t, a, d))
		s.set(nic("eth0", 1, noLinkLocal))
		pass(150 * ms)
		s.do(func() { s.openErr = unix.EPERM })
		s.live()[0].frames <- unix.EIO
		pass(time.Second)
		expect(t, "socket lost", withheld(ProblemSocket, one), applyAll(t, a, d))
		s.do(func() { s.openErr = nil })
		pass(2 * maxBackoff)
		expect(t, "at last", answers(one), applyAll(t, a, d))
		for _, w := range s.all() {
			if n := len(w.said()); n > 0 && len(w.asked()) != probeCount {
				t.Errorf("announced on a socket after %d probes", len(w.asked()))
			}
		}
	})
}

// TestProbesThatCannotBeSentProveNothing: the address waits until three have left.
func TestProbesThatCannotBeSentProveNothing(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{Probe: true}, one)
		w.mu.Lock()
		w.sendErr = unix.ENOBUFS
		w.mu.Unlock()
		applyAll(t, a, d)
		pass(time.Minute)
		expect(t, "nothing sent", withheld(ProblemProbing, one), applyAll(t, a, d))
		w.mu.Lock()
		w.sendErr = nil
		w.mu.Unlock()
		pass(2 * maxBackoff)
		expect(t, "sent", answers(one), applyAll(t, a, d))
	})
}

func TestRivalIsReportedAndDefendedAgainst(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{Monitor: true}, one)
		applyAll(t, a, d)
		pass(time.Minute) // the burst is over
		before := len(w.said())
		for range 2500 { // 25 seconds
			w.says(hostMAC, one)
			pass(10 * ms)
		}
		expectChange(t, a)
		want := answers(one)
		want.Others = map[netip.Addr]Other{one: {hostMAC, "eth0", ""}}
		expect(t, "reported", want, applyAll(t, a, d))
		var at []time.Duration
		for _, x := range w.said()[before:] {
			at = append(at, x.at-time.Minute)
		}
		if diff := cmp.Diff([]time.Duration{0, 10 * time.Second, 20 * time.Second}, at); diff != "" {
			t.Error("defended: ", diff)
		}
		pass(rivalMemory)
		expectChange(t, a)
		expect(t, "forgotten", answers(one), applyAll(t, a, d))
	})
}

func TestWhoIsNoRival(t *testing.T) {
	other := func(o Other) Running {
		r := answers(one)
		r.Others = map[netip.Addr]Other{one: o}
		return r
	}
	standIn := Entry{Monitor: true, As: map[string]MAC{"eth0": friendMAC}}
	inStead := Running{StandIns: map[netip.Addr][]string{one: {"eth0"}}}
	inSteadBut := inStead
	inSteadBut.Others = map[netip.Addr]Other{one: {hostMAC, "eth0", ""}}
	for name, tt := range map[string]struct {
		entry Entry
		mac   MAC
		probe bool
		want  Running
	}{
		"a friend is reported, by name":       {Entry{Monitor: true}, friendMAC, false, other(Other{friendMAC, "eth0", "n1"})},
		"without Monitor nobody is":           {Entry{}, hostMAC, false, answers(one)},
		"ourselves":                           {Entry{Monitor: true}, MAC(macA), false, answers(one)},
		"who only asks is answered":           {Entry{Monitor: true}, hostMAC, true, answers(one)},
		"who is stood in for":                 {standIn, friendMAC, false, inStead},
		"a stand-in reports and is no defier": {standIn, hostMAC, false, inSteadBut},
	} {
		t.Run(name, func(t *testing.T) {
			onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
				d := entries(tt.entry, one)
				applyAll(t, a, d)
				pass(time.Minute)
				before := len(w.said())
				if tt.probe {
					w.wants(tt.mac, one)
				} else {
					w.says(tt.mac, one)
				}
				pass(time.Second)
				expect(t, "running", tt.want, applyAll(t, a, d))
				if n := len(w.said()) - before; n > 0 {
					t.Errorf("defended %d times", n)
				}
				if asked := tt.probe; asked != (len(w.replied) > 0) {
					t.Errorf("replied %v", w.replied)
				}
			})
		})
	}
}

// TestStationsNameOthers: a station that becomes a friend, or ceases to be one, is reported by its new name at once.
func TestStationsNameOthers(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{Probe: true}, one)
		applyAll(t, a, d)
		w.says(hostMAC, one)
		expect(t, "a stranger", withheld(ProblemConflict, one, Other{hostMAC, "eth0", ""}), applyAll(t, a, d))
		d.Stations = map[MAC]string{hostMAC: "n9"}
		expect(t, "a friend", withheld(ProblemHeld, one, Other{hostMAC, "eth0", "n9"}), applyAll(t, a, d))
	})
}

// TestManyStrangersAreOneConflict: who sends claims from ever new hardware addresses fills neither log nor memory.
func TestManyStrangersAreOneConflict(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		applyAll(t, a, entries(Entry{Monitor: true}, one))
		for i := range 5000 {
			w.says(MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}, one)
		}
		if got := value(a.metrics.conflicts.WithLabelValues("eth0", "arp")); got != 1 {
			t.Errorf("%v conflicts reported at once", got)
		}
	})
}

func TestGenerationAnnouncesAgain(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		d := entries(Entry{}, one, two)
		applyAll(t, a, d)
		pass(time.Minute)
		before := len(w.said())
		next := entries(Entry{}, one, two)
		next.Entries[two] = Entry{Generation: 1}
		for range 3 {
			applyAll(t, a, next)
		}
		pass(time.Minute)
		applyAll(t, a, next)
		if diff := cmp.Diff([]said{{60 * time.Second, two}, {60*time.Second + burstGap, two}, {60*time.Second + 2*burstGap, two}},
			w.said()[before:], equate); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStandInNeverSpeaksUnasked(t *testing.T) {
	onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
		e := Entry{As: map[string]MAC{"eth0": friendMAC}}
		want := Running{StandIns: map[netip.Addr][]string{one: {"eth0"}}}
		expect(t, "running", want, applyAll(t, a, entries(e, one)))
		w.frames <- heard{from: MAC(macB), asked: one}
		e.Generation++
		applyAll(t, a, entries(e, one))
		pass(time.Hour) // refreshes included
		if len(w.said()) > 0 || !slices.Equal(w.replied, []MAC{friendMAC}) {
			t.Errorf("announced %v, replied %v", w.said(), w.replied)
		}
		elsewhere := Entry{As: map[string]MAC{"eth7": friendMAC}}
		expect(t, "named elsewhere", withheld(ProblemNoInterface, one), applyAll(t, a, entries(elsewhere, one)))
		expect(t, "silence", Running{}, applyAll(t, a, entries(Entry{As: map[string]MAC{}}, one)))
		w.frames <- heard{from: MAC(macB), asked: one}
		synctest.Wait()
		if len(w.replied) != 1 {
			t.Errorf("replied %v", w.replied)
		}
	})
}

// TestApplyWaitsOutAnAnswer: one that was decided before the change and has not left.
func TestApplyWaitsOutAnAnswer(t *testing.T) {
	for name, next := range map[string]Desired{
		"another's hardware address": entries(Entry{As: map[string]MAC{"eth0": friendMAC}}, one),
		"silence":                    entries(Entry{As: map[string]MAC{}}, one),
		"removal":                    entries(Entry{}),
	} {
		t.Run(name, func(t *testing.T) {
			onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
				applyAll(t, a, entries(Entry{}, one))
				w.replying = make(chan struct{})
				w.frames <- heard{from: MAC(macB), asked: one}
				synctest.Wait() // decided, not sent
				applied := make(chan error, 1)
				go func() {
					_, err := a.Apply(t.Context(), next)
					applied <- err
				}()
				synctest.Wait()
				if len(applied) > 0 {
					t.Error("Apply returned while the old answer was on its way")
				}
				close(w.replying)
				if err := <-applied; err != nil || !slices.Equal(w.replied, []MAC{MAC(macA)}) {
					t.Errorf("error %v, replied %v", err, w.replied)
				}
			})
		})
	}
	t.Run("an addition waits for nobody", func(t *testing.T) {
		onOneWire(t, func(t *testing.T, a *Announcer, w *fakeWire) {
			applyAll(t, a, entries(Entry{}, one))
			w.replying = make(chan struct{})
			w.frames <- heard{from: MAC(macB), asked: one}
			synctest.Wait() // decided, not sent
			applyAll(t, a, entries(Entry{}, one, two))
			close(w.replying)
		})
	})
}
