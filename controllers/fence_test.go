package controllers

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// fakeAPI answers, and remembers what it was asked.
type fakeAPI struct {
	asked []string
}

func (s *fakeAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, r.Method+" "+r.URL.RawQuery)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(""))}, nil
}

func send(rt http.RoundTripper, method string) error {
	r, _ := http.NewRequest(method, "https://api/x?timeout=9s", nil)
	answer, err := rt.RoundTrip(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return err
}

func TestNoWriteBeginsAfterTheRenewDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, api := newFence(DefaultTiming()), &fakeAPI{}
		rt := f.wrap(api)
		step := func(what string, want error) {
			t.Helper()
			if err := send(rt, http.MethodPatch); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		step("before leading", errFenced)
		f.extend(time.Now())
		step("leading", nil)
		time.Sleep(f.timing.Renew - time.Nanosecond)
		step("just before the deadline", nil)
		time.Sleep(time.Nanosecond)
		step("at the deadline", errFenced)
		if err := send(rt, http.MethodGet); err != nil {
			t.Errorf("a read was held back: %v", err)
		}
		f.extend(time.Now())
		step("renewed", nil)
		f.bar()
		step("barred", errFenced)
		want := []string{"PATCH timeout=1s", "PATCH timeout=1s", "GET timeout=9s", "PATCH timeout=1s"}
		if got := strings.Join(api.asked, ", "); got != strings.Join(want, ", ") {
			t.Errorf("the API server saw %s, want %s", got, strings.Join(want, ", "))
		}
	})
}

func TestDrainWaitsForTheLastWrite(t *testing.T) {
	f := newFence(DefaultTiming())
	f.extend(time.Now())
	begun, answer, written := make(chan struct{}), make(chan struct{}), make(chan struct{})
	api := roundTripper(func(*http.Request) (*http.Response, error) {
		close(begun)
		<-answer
		close(written)
		return nil, errors.New("answered")
	})
	rt := f.wrap(api)
	go func() { _ = send(rt, http.MethodPatch) }()
	<-begun
	drained := make(chan struct{})
	go func() {
		f.drain()
		select {
		case <-written:
		default:
			t.Error("drained while a write was on its way")
		}
		close(drained)
	}()
	for f.allows() { // until drain has begun
		runtime.Gosched()
	}
	close(answer)
	<-drained
	if err := send(rt, http.MethodPost); !errors.Is(err, errFenced) {
		t.Errorf("a write after draining: %v", err)
	}
}

// fakeLease is a lease that nobody else watches.
type fakeLease struct {
	resourcelock.Interface
	record resourcelock.LeaderElectionRecord
	err    error
}

func (l *fakeLease) Identity() string { return "me" }
func (l *fakeLease) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &l.record, nil, l.err
}
func (l *fakeLease) Create(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	return l.Update(context.Background(), r)
}
func (l *fakeLease) Update(_ context.Context, r resourcelock.LeaderElectionRecord) error {
	if l.err == nil {
		l.record = r
	}
	return l.err
}

func record(holder string) resourcelock.LeaderElectionRecord {
	return resourcelock.LeaderElectionRecord{HolderIdentity: holder}
}

func TestNewLeaderWaitsForTheOldOnesWrites(t *testing.T) {
	timing := DefaultTiming()
	for _, tc := range []struct {
		name   string
		before string // who held the lease; "-": there was none
		want   time.Duration
	}{
		{"the lease ran out", "other", timing.Write},
		{"it was released", "", 0},
		{"there was none", "-", timing.Retry + timing.Write},
		{"it was taken before, but the answer was lost", "me", timing.Retry + timing.Write},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, ctx := newFence(timing), context.Background()
				l := &leaseLock{fence: f, Interface: &fakeLease{record: record(tc.before)}}
				acquire := l.Create
				if tc.before != "-" {
					_, _, _ = l.Get(ctx)
					acquire = l.Update
				}
				if err := acquire(ctx, record("me")); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if err := f.settle(ctx); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != tc.want {
					t.Errorf("waited %v, want %v", got, tc.want)
				}
				time.Sleep(time.Second)
				if err := l.Update(ctx, record("me")); err != nil {
					t.Fatal(err)
				}
				if again := time.Now(); f.settle(ctx) != nil || time.Since(again) != 0 {
					t.Error("a renewal made it wait again")
				}
				if !f.allows() {
					t.Error("the leader may not write")
				}
			})
		})
	}
}

func TestSettleEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFence(DefaultTiming())
		f.settleFor(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := f.settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("settle = %v", err)
		}
	})
}

func TestWhatEndsWriting(t *testing.T) {
	resource := schema.GroupResource{Resource: "leases"}
	for _, tc := range []struct {
		name   string
		happen func(ctx context.Context, l *leaseLock, api *fakeLease)
		want   bool // may still write
	}{
		{"renewing fails for a moment", func(ctx context.Context, l *leaseLock, api *fakeLease) {
			api.err = errors.New("unreachable")
			_ = l.Update(ctx, record("me"))
		}, true},
		{"somebody else has it", func(ctx context.Context, l *leaseLock, api *fakeLease) {
			api.record = record("other")
			_, _, _ = l.Get(ctx)
		}, false},
		{"somebody else wrote it", func(ctx context.Context, l *leaseLock, api *fakeLease) {
			api.err = apierrors.NewConflict(resource, LeaseName, nil)
			_ = l.Update(ctx, record("me"))
		}, false},
		{"it was deleted", func(ctx context.Context, l *leaseLock, api *fakeLease) {
			api.err = apierrors.NewNotFound(resource, LeaseName)
			_ = l.Update(ctx, record("me"))
		}, false},
		{"it is released", func(ctx context.Context, l *leaseLock, _ *fakeLease) {
			_ = l.Update(ctx, record(""))
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, api, ctx := newFence(DefaultTiming()), &fakeLease{}, context.Background()
			l := &leaseLock{fence: f, Interface: api}
			if err := l.Create(ctx, record("me")); err != nil {
				t.Fatal(err)
			}
			tc.happen(ctx, l, api)
			if got := f.allows(); got != tc.want {
				t.Errorf("may write: %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTimingIsChecked(t *testing.T) {
	if err := DefaultTiming().validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Timing){
		"a lease of parts of a second":          func(t *Timing) { t.Lease = 5500 * time.Millisecond },
		"a write as long as what is left of it": func(t *Timing) { t.Write = t.Lease - t.Renew },
	} {
		timing := DefaultTiming()
		if change(&timing); timing.validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
