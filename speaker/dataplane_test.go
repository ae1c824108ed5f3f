package speaker

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/internal/plan"
)

// asking returns a dataplane that asks a server which gives these answers in turn: a status and a body, or "" for none.
func asking(t *testing.T, answers ...string) *dataplane {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	return newDataplane("n1", s.Listener.Addr().String(), l.logger(), newSignal())
}

func TestDataplane(t *testing.T) {
	const (
		old      = `200 {"lastUpdated":"2026-01-01T00:00:00Z","nodeEligible":true}`
		synced   = `200 {"healthy":true,"status":{"IPv4":{"lastUpdated":"2026-01-01T00:00:00Z","healthy":true},"IPv6":{"healthy":true}}}`
		half     = `200 {"healthy":true,"status":{"IPv6":{"lastUpdated":"2026-01-01T00:00:00Z","healthy":true}}}`
		starting = `200 {"healthy":true,"nodeEligible":true}`
		late     = `503 {"healthy":false,"status":{"IPv4":{"healthy":false}}}`
		going    = `503 {"healthy":true,"nodeEligible":false,"status":{"IPv4":{"healthy":true}}}`
		other    = `200 ok`
		missing  = `404 -`
	)
	for _, tt := range []struct {
		name    string
		answers []string
		want    []plan.Dataplane
	}{
		{"it comes up", []string{"", starting, synced}, []plan.Dataplane{"waiting", "unhealthy", "healthy"}},
		{"it comes up one family at a time", []string{"", starting, half, half, synced, half}, []plan.Dataplane{"waiting", "unhealthy", "unhealthy", "unhealthy", "healthy", "healthy"}},
		{"it is found half written", []string{half, synced}, []plan.Dataplane{"unhealthy", "healthy"}},
		{"it comes back", []string{synced, "", half, synced}, []plan.Dataplane{"healthy", "unknown", "unhealthy", "healthy"}},
		{"one that does not tell of its rules", []string{old}, []plan.Dataplane{"healthy"}},
		{"one that says only ok", []string{other}, []plan.Dataplane{"healthy"}},
		{"late with its rules from the start", []string{late, late, synced}, []plan.Dataplane{"unhealthy", "unhealthy", "healthy"}},
		{"a hiccup", []string{synced, late, synced, late, synced}, []plan.Dataplane{"healthy", "healthy", "healthy", "healthy", "healthy"}},
		{"late for good", []string{synced, late, late, late}, []plan.Dataplane{"healthy", "healthy", "unhealthy", "unhealthy"}},
		{"the node is about to go", []string{synced, going, going}, []plan.Dataplane{"healthy", "healthy", "unhealthy"}},
		{"it ends", []string{synced, ""}, []plan.Dataplane{"healthy", "unknown"}},
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

// TestDataplaneOfOneFamily: a kube-proxy may serve one family only.
func TestDataplaneOfOneFamily(t *testing.T) {
	const one = `200 {"healthy":true,"status":{"IPv4":{"healthy":true}}}`
	d := asking(t, one, one, one)
	now := d.began
	d.now = func() time.Time { return now }
	for i, want := range []plan.Dataplane{"unhealthy", "unhealthy", "healthy"} {
		if got := d.ask(t.Context()); got != want {
			t.Errorf("after %s: %s, want %s", now.Sub(d.began), got, want)
		}
		now = d.began.Add(proxySettles - time.Duration(1-i))
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
