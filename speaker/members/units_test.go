package members

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

func validOptions() Options {
	return Options{Name: "n", Bind: netip.MustParseAddrPort("192.0.2.1:0"), Key: secret}
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
		{"any address", func(o *Options) { o.Bind = netip.MustParseAddrPort("[::]:7947") }, "bind address"},
		{"zone", func(o *Options) { o.Bind = netip.MustParseAddrPort("[fe80::1%eth0]:7947") }, "bind address"},
		{"no key", func(o *Options) { o.Key = nil }, "key"},
		{"profile", func(o *Options) { o.Profile = "hasty" }, "hasty"},
		{"metrics taken", func(o *Options) { o.Registerer = taken }, "metrics"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := validOptions()
			tc.change(&o)
			g, err := New(o)
			if tc.want == "" {
				if err != nil || g.opts.Bind.Port() != DefaultPort || g.opts.JoinWindow != DefaultJoinWindow {
					t.Errorf("New: %v, options %+v", err, g.opts)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("New: %v, want an error about the %s", err, tc.want)
			}
		})
	}
}

// A probe must fail before the next one is due, and the profiles keep their
// order.
func TestTimings(t *testing.T) {
	var last time.Duration
	for _, p := range []Profile{ProfileFast, ProfileDefault, ProfileRelaxed} {
		tm, ok := timings(p)
		if !ok {
			t.Fatalf("%s is no profile", p)
		}
		if tm.probeTimeout >= tm.probeInterval || tm.gossipInterval > tm.probeInterval || tm.retryMin > tm.retryMax {
			t.Errorf("%s: %+v does not fit together", p, tm)
		}
		detection := time.Duration(tm.suspicionMult) * tm.probeInterval
		if detection <= last {
			t.Errorf("%s detects in %s, not later than the profile before", p, detection)
		}
		last = detection
	}
	standard, _ := timings(ProfileDefault)
	if empty, ok := timings(""); !ok || empty != standard {
		t.Error("no profile is not the default one")
	}
}

func TestKeysOnTheRing(t *testing.T) {
	steps := [][]string{{"a"}, {"a", "b"}, {"b", "a"}, {"b"}, {"c", "b", "d"}, {"d", "e"}, {"e", "e"}, {"f"}}
	first, _ := deriveKeys([]byte("a"))
	ring, err := first.newRing()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		var secrets [][]byte
		for _, s := range step {
			secrets = append(secrets, []byte(s))
		}
		want, err := deriveKeys(secrets...)
		if err != nil {
			t.Fatal(err)
		}
		if err := want.install(ring); err != nil {
			t.Fatalf("%v: %v", step, err)
		}
		got := keys(ring.GetKeys())
		if len(got) != len(want) || string(got[0]) != string(want[0]) || unwanted(ring, want) {
			t.Errorf("%v: the ring has other keys", step)
		}
	}
	g, err := New(validOptions())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetKeys([]byte("new"), nil); !errors.Is(err, errNoKey) {
		t.Errorf("SetKeys with an empty key: %v", err)
	}
}

func TestParseLine(t *testing.T) {
	type result struct {
		Level severity
		Text  string
	}
	for _, tc := range []struct {
		line string
		want result
	}{
		{"[ERR] memberlist: Push/Pull with n1 failed: EOF\n", result{notable, "Push/Pull with n1 failed: EOF"}},
		{"[ERROR] memberlist: text", result{notable, "text"}},
		{"[WARN] memberlist: text", result{detail, "text"}},
		{"[INFO] memberlist: text", result{detail, "text"}},
		{"[DEBUG] memberlist: text", result{trace, "text"}},
		{"[ERR] Failed to shutdown transport: x", result{notable, "Failed to shutdown transport: x"}},
		{"Err: Could not set the deadline: x", result{notable, "Err: Could not set the deadline: x"}},
		{"[::1]:7947 said x", result{notable, "[::1]:7947 said x"}},
		{"[ERR] memberlist: Decrypt packet failed: no installed keys could decrypt the message from=x", result{severe, "Decrypt packet failed: no installed keys could decrypt the message from=x"}},
		{"[WARN] memberlist: " + strings.Repeat("é", 200), result{detail, strings.Repeat("é", 150) + "…"}},
		{"", result{notable, ""}},
	} {
		level, text := parseLine(tc.line)
		if d := cmp.Diff(tc.want, result{level, text}); d != "" {
			t.Errorf("parseLine(%q) (-want +got):\n%s", tc.line, d)
		}
	}
}

func TestLogIsLimited(t *testing.T) {
	var out lines
	now := time.Unix(0, 0)
	w := &logWriter{log: out.logger(), now: func() time.Time { return now }, since: now}
	for range 10 * logPerKind {
		_, _ = w.Write([]byte("[ERR] memberlist: noise\n"))
	}
	if n := strings.Count(out.String(), "noise"); n != logPerKind {
		t.Errorf("%d lines in a window, want %d", n, logPerKind)
	}
	now = now.Add(2 * logWindow)
	_, _ = w.Write([]byte("[ERR] memberlist: noise\n"))
	if !out.has(fmt.Sprintf(`"lines"=%d`, 9*logPerKind)) || strings.Count(out.String(), "noise") != logPerKind+1 {
		t.Errorf("the next window: %s", out.String()[len(out.String())-200:])
	}
}

// joinFor runs a joiner whose attempts all take a while and fail, on a clock
// that does not wait, and returns when each began.
func joinFor(t *testing.T, peers int, takes, limit time.Duration) (begun []time.Duration, atOnce int) {
	t.Helper()
	g, err := New(validOptions())
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]netip.AddrPort{"n": netip.MustParseAddrPort("192.0.2.1:1")}
	for i := range peers {
		given[fmt.Sprint("peer", i)] = netip.MustParseAddrPort("192.0.2.2:0")
	}
	j := newJoiner(g, nil)
	start, running := time.Now(), make(chan int, 1)
	running <- 0
	j.join = func(_ string, addr netip.AddrPort) error {
		n := <-running + 1
		begun = append(begun, time.Since(start))
		atOnce = max(atOnce, n)
		running <- n
		time.Sleep(takes) // the fake clock's
		running <- <-running - 1
		if addr.Port() != DefaultPort {
			t.Errorf("joining port %d", addr.Port())
		}
		return errNoRoute
	}
	g.SetPeers(given)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	j.run(ctx)
	return begun, atOnce
}

func TestJoinsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, _ := joinFor(t, 1, 0, time.Minute)
		tm, _ := timings("")
		if begun[0] != 0 {
			t.Errorf("the first attempt began after %s", begun[0])
		}
		var gaps []time.Duration
		for i := range begun[1:] {
			gap := begun[i+1] - begun[i]
			if gap < tm.retryMin/2 || gap > tm.retryMax {
				t.Errorf("a gap of %s", gap)
			}
			gaps = append(gaps, gap)
		}
		if last := gaps[len(gaps)-1]; last < tm.retryMax/2 {
			t.Errorf("the last gap is %s: no back-off", last)
		}
		if len(gaps) < 12 {
			t.Errorf("%d attempts in a minute: it gave up", len(begun))
		}
	})
}

func TestJoinsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, atOnce := joinFor(t, 100, 2*time.Second, time.Minute)
		if atOnce != maxJoins {
			t.Errorf("%d attempts at once, want %d", atOnce, maxJoins)
		}
		if len(begun) < 100 {
			t.Errorf("%d attempts for 100 peers", len(begun))
		}
	})
}

// A question is repeated with growing pauses until the facts are here, and
// asked afresh when the owner shows others.
func TestQuestionsAreRepeated(t *testing.T) {
	g, err := New(validOptions())
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	e := &engine{g: g, store: newStore(), asks: map[string]*question{}, send: func(to memberlist.Address, msg []byte) error {
		asked++
		if to.Addr != "192.0.2.7:7947" || string(msg) != string(encodeAsk("n")) {
			t.Errorf("asked %v: %q", to, msg)
		}
		return errNoRoute
	}}
	facts := []byte("facts")
	shown := testStamp(1, facts)
	alive := roster{
		"n":     {meta: meta{facts: shown}},
		"other": {addr: netip.MustParseAddrPort("192.0.2.7:7947"), meta: meta{facts: shown}},
		"mute":  {},
	}
	now := time.Unix(1000, 0)
	if wait := e.askForFacts(now, alive); asked != 0 || wait <= 0 || wait > time.Second {
		t.Errorf("at first: asked %d times, waits %s; want a short grace", asked, wait)
	}
	end := now.Add(time.Minute)
	for now.Before(end) {
		now = now.Add(e.askForFacts(now, alive))
	}
	if asked < 12 || asked > 40 {
		t.Errorf("asked %d times in a minute", asked)
	}
	e.store.accept(whole("other", shown, facts), shown)
	before := asked
	if wait := e.askForFacts(now.Add(time.Hour), alive); wait != idle || asked != before || len(e.asks) != 0 {
		t.Errorf("with the facts here: waits %s, asked %d times more", wait, asked-before)
	}
}
