package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// eventServer takes Events as an API server does that may be away.
type eventServer struct {
	client.Writer
	answer         func(ctx context.Context, attempt int) error
	mu             sync.Mutex
	tried, written int
}

func (s *eventServer) Create(ctx context.Context, _ client.Object, _ ...client.CreateOption) error {
	s.mu.Lock()
	s.tried++
	n := s.tried
	s.mu.Unlock()
	err := s.answer(ctx, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.written++
	}
	return err
}

func recorderTo(t *testing.T, answer func(context.Context, int) error) (*recorder, *eventServer) {
	t.Helper()
	scheme, err := kube.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	s := &eventServer{answer: answer}
	r, err := newRecorder(logr.Discard(), scheme, s)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func well(context.Context, int) error { return nil }

func TestEventsSayWhatTheyAreAbout(t *testing.T) {
	r, _ := recorderTo(t, well)
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "lan", UID: "2"}}
	for _, tc := range []struct {
		about client.Object
		is    notice
		want  string
	}{
		{version("1", "100"), notice{warning: true, reason: "A", message: "a"}, "default Warning A: a; v1 Service default/web 1"},
		{pool, notice{reason: "B", message: "b"}, "default Normal B: b; belfry.dev/v1beta1 IPAddressPool /lan 2"},
	} {
		e, err := r.event(tc.about, tc.is, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		o := e.Regarding
		if got := fmt.Sprintf("%s %s %s: %s; %s %s %s/%s %s", e.Namespace, e.Type, e.Reason, e.Note, o.APIVersion, o.Kind, o.Namespace, o.Name, o.UID); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
		if e.EventTime.IsZero() || e.Name == "" || e.Action == "" || e.ReportingController == "" || e.ReportingInstance == "" {
			t.Errorf("the API server would refuse %+v", e)
		}
	}
}

// TestEventsAreWritten: however the API server answers, nobody who tells something waits, and an end is not held up.
func TestEventsAreWritten(t *testing.T) {
	away := errors.New("no route to host")
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "events"}, "", errors.New("the namespace is being deleted"))
	for _, tc := range []struct {
		name           string
		answer         func(context.Context, int) error
		tell           int
		until          time.Duration // until it is to end
		written, tried int
	}{
		{"at once", well, 3, time.Second, 3, 3},
		{"when it is there again", func(_ context.Context, n int) error { return map[bool]error{true: away}[n < 4] }, 1, time.Minute, 1, 4},
		{"never, where it never is", func(context.Context, int) error { return away }, 1, time.Hour, 0, recordAttempts},
		{"when it is well again", func(_ context.Context, n int) error {
			return map[bool]error{true: apierrors.NewServiceUnavailable("")}[n < 4]
		}, 1, time.Minute, 1, 4},
		{"not again, when it is refused", func(context.Context, int) error { return refused }, 2, time.Minute, 0, 2},
		{"too many are not", func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }, 2 * recordsWaiting, time.Second, 0, 2 * recordsAtOnce},
		{"at the end too", well, recordsWaiting, 0, recordsWaiting, recordsWaiting},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, s := recorderTo(t, tc.answer)
				for i := range tc.tell {
					if took := r.tell(version("1", "100"), notice{reason: "A"}); took != (i < recordsWaiting) {
						t.Fatalf("it takes %d: %t", i, took)
					}
				}
				ctx, end := context.WithTimeout(t.Context(), tc.until)
				defer end()
				began := time.Now()
				r.run(ctx)
				if took := time.Since(began) - tc.until; took > recordTimeout+recordsInTheEnd {
					t.Errorf("it ends after %s", took)
				}
				if s.written != tc.written || s.tried != tc.tried {
					t.Errorf("%d written by %d attempts, want %d by %d", s.written, s.tried, tc.written, tc.tried)
				}
			})
		})
	}
}

// lastWords is a manager that tells of something when it ends.
type lastWords struct {
	manager.Manager
	tell func()
}

func (m lastWords) Start(ctx context.Context) error {
	<-ctx.Done()
	m.tell()
	return nil
}

// TestLastWordsAreWritten: what leads says more when it is told to stop, and nobody waits for the API server then.
func TestLastWordsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := recorderTo(t, well)
		ctx, end := context.WithCancel(t.Context())
		end()
		m := &recorded{lastWords{tell: func() { r.tell(version("1", "100"), notice{reason: "A"}) }}, r}
		if err := m.Start(ctx); err != nil || s.written != 1 {
			t.Errorf("%d events are written, %v", s.written, err)
		}
	})
}

func TestLongNotesAreCut(t *testing.T) {
	for note, want := range map[string]string{
		strings.Repeat("é", noteMost/2):   strings.Repeat("é", noteMost/2),
		strings.Repeat("é", noteMost/2+1): strings.Repeat("é", noteMost/2-2) + "…",
	} {
		if got := clipped(note); got != want || len(got) > noteMost {
			t.Errorf("%d bytes became %d: %q", len(note), len(got), got)
		}
	}
}
