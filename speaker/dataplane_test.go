package speaker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/internal/plan"
)

// asking returns a dataplane that asks a server which gives these answers in turn: a status and a body, or "" for none.
func asking(t *testing.T, answers ...string) *dataplane {
	t.Helper()
	return askingBoth(t, nil, answers...)
}

// askingBoth is asking where there are metrics, too: one page for each question, "" for none.
func askingBoth(t *testing.T, metrics []string, answers ...string) *dataplane {
	t.Helper()
	var mu sync.Mutex
	n, counted := 0, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/metrics" && counted < len(metrics) {
			_, _ = w.Write([]byte(metrics[counted]))
			counted++
			return
		}
		if r.URL.Path != "/healthz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		a := answers[n]
		n++
		if a == "" {
			panic(http.ErrAbortHandler)
		}
		var status int
		var body string
		_, err := fmt.Sscanf(a, "%d %s", &status, &body)
		must(t, err)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	l := &logbook{}
	d := newDataplane("n1", s.Listener.Addr().String(), l.logger(), newSignal())
	if d.metrics = ""; metrics != nil {
		d.metrics = s.URL + "/metrics"
	}
	return d
}

// told is an answer of a kube-proxy at second 100 whose parts wrote, or said that they began, at these seconds.
func told(families map[string]int) string {
	var parts []string
	for f, at := range families {
		parts = append(parts, fmt.Sprintf(`%q:{"lastUpdated":"2026-01-01T00:%02d:%02dZ","healthy":true}`, f, at/60, at%60))
	}
	return `200 {"healthy":true,"currentTime":"2026-01-01T00:01:40Z","status":{` + strings.Join(parts, ",") + `}}`
}

func TestDataplane(t *testing.T) {
	const (
		old      = `200 {"lastUpdated":"2026-01-01T00:00:00Z","nodeEligible":true}`
		starting = `200 {"healthy":true,"nodeEligible":true}`
		late     = `503 {"healthy":false,"status":{"IPv4":{"healthy":false}}}`
		going    = `503 {"healthy":true,"nodeEligible":false,"status":{"IPv4":{"healthy":true}}}`
		other    = `200 ok`
		missing  = `404 -`
	)
	var (
		begun   = told(map[string]int{"IPv4": 98, "IPv6": 98})
		one     = told(map[string]int{"IPv4": 99, "IPv6": 98})
		both    = told(map[string]int{"IPv4": 99, "IPv6": 99})
		half    = told(map[string]int{"IPv6": 98})
		settled = told(map[string]int{"IPv4": 1, "IPv6": 90})
		mixed   = told(map[string]int{"IPv4": 1, "IPv6": 91})
		mixed2  = told(map[string]int{"IPv4": 1, "IPv6": 92})
		half2   = told(map[string]int{"IPv6": 99})
		both3   = told(map[string]int{"IPv4": 100, "IPv6": 100})
		both4   = told(map[string]int{"IPv4": 100, "IPv6": 102})
		single  = told(map[string]int{"IPv4": 1})
	)
	for _, tt := range []struct {
		name    string
		answers []string
		want    []plan.Dataplane
	}{
		{"it comes up", []string{"", starting, begun, begun, both, begun}, []plan.Dataplane{"waiting", "unhealthy", "waiting", "waiting", "healthy", "healthy"}},
		{"it comes up one family at a time", []string{"", starting, half, begun, one, both}, []plan.Dataplane{"waiting", "unhealthy", "waiting", "waiting", "waiting", "healthy"}},
		{"it is found as it comes up", []string{half, begun, both}, []plan.Dataplane{"waiting", "waiting", "healthy"}},
		{"it was there long before", []string{settled}, []plan.Dataplane{"healthy"}},
		{"it has just written", []string{mixed, mixed, mixed2}, []plan.Dataplane{"waiting", "waiting", "healthy"}},
		{"one family, for long", []string{single}, []plan.Dataplane{"healthy"}},
		{"one family, for now", []string{half, half}, []plan.Dataplane{"waiting", "waiting"}},
		{"it writes one family before the other says that it begins", []string{half, half2, both, both3}, []plan.Dataplane{"waiting", "waiting", "waiting", "healthy"}},
		{"it does not answer for a moment", []string{settled, "", settled}, []plan.Dataplane{"healthy", "unknown", "healthy"}},
		{"it writes rules and does not answer for a moment", []string{both, both3, "", both4}, []plan.Dataplane{"waiting", "healthy", "unknown", "healthy"}},
		{"its clock is set back", []string{both, mixed}, []plan.Dataplane{"waiting", "healthy"}},
		{"it comes back", []string{settled, "", begun, both}, []plan.Dataplane{"healthy", "unknown", "waiting", "healthy"}},
		{"it starts anew between two questions", []string{settled, starting, begun, both}, []plan.Dataplane{"healthy", "unhealthy", "waiting", "healthy"}},
		{"one that does not tell of its rules", []string{old}, []plan.Dataplane{"healthy"}},
		{"one that says only ok", []string{other}, []plan.Dataplane{"healthy"}},
		{"late with its rules from the start", []string{late, late, settled}, []plan.Dataplane{"unhealthy", "unhealthy", "healthy"}},
		{"a hiccup", []string{settled, late, settled, late, settled}, []plan.Dataplane{"healthy", "healthy", "healthy", "healthy", "healthy"}},
		{"late for good", []string{settled, late, late, late}, []plan.Dataplane{"healthy", "healthy", "unhealthy", "unhealthy"}},
		{"the node is about to go", []string{settled, going, going}, []plan.Dataplane{"healthy", "healthy", "unhealthy"}},
		{"it ends", []string{settled, ""}, []plan.Dataplane{"healthy", "unknown"}},
		{"somebody else's server", []string{missing}, []plan.Dataplane{"waiting"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := asking(t, tt.answers...)
			var got []plan.Dataplane
			for range tt.answers {
				d.take(d.ask(t.Context()))
				got = append(got, d.State())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDataplaneCounts: kube-proxy's metrics say at once what its page says only when something changes.
func TestDataplaneCounts(t *testing.T) {
	const (
		queued4 = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv4\"} 1.7e+09\n"
		queued  = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv4\"} 1.7e+09\nkubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family=\"IPv6\"} 1.7e+09\n"
		v4      = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv4\"} 1.7e+09\n"
		v6      = "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"} 1.7e+09\n"
		others  = "# TYPE go_goroutines gauge\ngo_goroutines 7\n"
	)
	young, old := told(map[string]int{"IPv4": 99, "IPv6": 99}), told(map[string]int{"IPv4": 1, "IPv6": 1})
	for _, tt := range []struct {
		name    string
		metrics []string
		answers []string
		want    []plan.Dataplane
	}{
		{"it has just written", []string{queued + v4 + v6}, []string{young}, []plan.Dataplane{"healthy"}},
		{"it has written long ago", []string{queued + v4 + v6}, []string{old}, []plan.Dataplane{"healthy"}},
		{"one family is missing", []string{queued, queued + v6, queued + v4 + v6}, []string{young, young, young}, []plan.Dataplane{"waiting", "waiting", "healthy"}},
		{"it has begun long ago and cannot write", []string{queued, queued}, []string{old, old}, []plan.Dataplane{"waiting", "waiting"}},
		{"one family", []string{queued4 + v4}, []string{told(map[string]int{"IPv4": 99})}, []plan.Dataplane{"healthy"}},
		{"one family, for now", []string{queued + v4}, []string{told(map[string]int{"IPv4": 99})}, []plan.Dataplane{"waiting"}},
		{"it has no time for its metrics", []string{queued, "busy", queued + v4 + v6}, []string{old, old, old}, []plan.Dataplane{"waiting", "waiting", "healthy"}},
		{"it had no time for them before", []string{"busy"}, []string{old}, []plan.Dataplane{"healthy"}},
		{"somebody else's", []string{others, others}, []string{young, old}, []plan.Dataplane{"waiting", "healthy"}},
		{"nobody is asked once it is known", []string{queued + v4 + v6}, []string{young, young, young}, []plan.Dataplane{"healthy", "healthy", "healthy"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := askingBoth(t, tt.metrics, tt.answers...)
			var got []plan.Dataplane
			for range tt.answers {
				got = append(got, d.ask(t.Context()))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestDataplanePause: what is still to come is asked for often, though not for ever.
func TestDataplanePause(t *testing.T) {
	young, old := told(map[string]int{"IPv4": 99, "IPv6": 99}), told(map[string]int{"IPv4": 1, "IPv6": 1})
	for _, tt := range []struct {
		name    string
		answers []string
		after   time.Duration // before the last answer
		want    time.Duration
	}{
		{"none yet", []string{""}, 0, proxyHurry},
		{"none for a minute", []string{"", ""}, proxyGrace, proxyEvery},
		{"it starts", []string{`200 {"healthy":true}`}, 0, proxyHurry},
		{"it begins", []string{young}, 0, proxyHurry},
		{"it has written", []string{old}, 0, proxyEvery},
		{"it is late", []string{old, "503 no", "503 no"}, 0, proxyEvery},
		{"it has gone", []string{old, ""}, 10 * proxyGrace, proxyEvery},
		{"it is back, and begins", []string{old, "503 no", "", young}, 0, proxyHurry},
		{"somebody else's server", []string{"404 -", "404 -"}, proxyGrace, proxyEvery},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := asking(t, tt.answers...)
			now := d.began
			d.now = func() time.Time { return now }
			for i := range tt.answers {
				if i == len(tt.answers)-1 {
					now = now.Add(tt.after)
				}
				d.take(d.ask(t.Context()))
			}
			if got := d.pause(); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestDataplaneNobodyAnswers: after a minute of silence nothing is held against the node.
func TestDataplaneNobodyAnswers(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	l := &logbook{}
	d := newDataplane("n1", address, l.logger(), newSignal())
	now := d.began
	d.now = func() time.Time { return now }
	for after, want := range []plan.Dataplane{"waiting", "unknown"} {
		now = d.began.Add(time.Duration(after) * proxyGrace)
		if got := d.ask(t.Context()); got != want {
			t.Errorf("after %d minutes: %s, want %s", after, got, want)
		}
	}
	off := newDataplane("n1", "0", l.logger(), newSignal())
	off.run(t.Context()) // returns at once
	if got := off.State(); got != plan.DataplaneUnknown {
		t.Errorf("not asked, and yet %s", got)
	}
}

// TestDataplaneSettles: a kube-proxy may serve one family only, and may have written before it was asked.
func TestDataplaneSettles(t *testing.T) {
	for name, answer := range map[string]string{
		"one family":  told(map[string]int{"IPv4": 99}),
		"not a word":  told(map[string]int{"IPv4": 99, "IPv6": 99}),
		"no time":     `200 {"healthy":true,"status":{"IPv4":{},"IPv6":{}}}`,
		"other names": told(map[string]int{"4": 99}),
	} {
		t.Run(name, func(t *testing.T) {
			d := asking(t, answer, answer, answer)
			now := d.began
			d.now = func() time.Time { return now }
			for i, want := range []plan.Dataplane{"waiting", "waiting", "healthy"} {
				if got := d.ask(t.Context()); got != want {
					t.Errorf("after %s: %s, want %s", now.Sub(d.began), got, want)
				}
				now = d.began.Add(proxySettles - time.Duration(1-i))
			}
		})
	}
}

// TestDataplaneWakesThePasses, once for each change.
func TestDataplaneWakesThePasses(t *testing.T) {
	d := asking(t, "200 ok", "200 ok", "503 no", "503 no")
	for i, want := range []bool{true, false, false, true} {
		d.take(d.ask(t.Context()))
		select {
		case <-d.changed:
			if !want {
				t.Errorf("answer %d: woken though nothing changed", i)
			}
		default:
			if want {
				t.Errorf("answer %d: not woken", i)
			}
		}
	}
}

func TestDataplaneEnds(t *testing.T) {
	d := asking(t, "200 ok")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { d.run(ctx); close(done) }()
	<-d.changed
	cancel()
	<-done
	if d.State() != plan.DataplaneHealthy {
		t.Errorf("%s", d.State())
	}
}
