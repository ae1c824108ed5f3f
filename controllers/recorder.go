package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/tools/reference"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// What the recorder does at most: events that wait, writes at once, attempts at each, and seconds at the end.
const (
	recordsWaiting  = 1000
	recordsAtOnce   = 8
	recordAttempts  = 12
	recordRetry     = 10 * time.Second
	recordTimeout   = 5 * time.Second
	recordsInTheEnd = time.Second
)

// recorder writes Events. It forgets each that is written. client-go's own recorder remembers them for minutes, so as to
// count one that comes again; here they are for changes, each with words of its own, and thousands of Services that get an
// address would have more memory taken by their events than by themselves.
type recorder struct {
	log      logr.Logger
	scheme   *runtime.Scheme
	client   client.Writer
	instance string
	queue    chan *eventsv1.Event
}

func newRecorder(log logr.Logger, scheme *runtime.Scheme, c client.Writer) (*recorder, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming this replica: %w", err)
	}
	return &recorder{log: log, scheme: scheme, client: c, instance: userAgent + "-" + host, queue: make(chan *eventsv1.Event, recordsWaiting)}, nil
}

// recorded is a manager whose recorder outlives all that tell it something, and holds up none of them.
type recorded struct {
	manager.Manager
	events *recorder
}

// Start runs the manager until ctx ends, and then for a moment its recorder.
func (m *recorded) Start(ctx context.Context) error {
	told, end := context.WithCancel(context.WithoutCancel(ctx))
	var recording sync.WaitGroup
	recording.Go(func() { m.events.run(told) })
	defer recording.Wait()
	defer end()
	return m.Manager.Start(ctx)
}

// tell never waits. It returns false where too many events wait already: then this one will not be written.
func (r *recorder) tell(about client.Object, n notice) bool {
	e, err := r.event(about, n, time.Now())
	if err != nil {
		r.log.Error(err, "event not written", "reason", n.reason)
		return true
	}
	select {
	case r.queue <- e:
		return true
	default:
		return false
	}
}

func (r *recorder) event(about client.Object, n notice, now time.Time) (*eventsv1.Event, error) {
	ref, err := reference.GetReference(r.scheme, about)
	if err != nil {
		return nil, fmt.Errorf("referring to %T %s: %w", about, about.GetName(), err)
	}
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: ref.Namespace, Name: util.GenerateEventName(ref.Name, now.UnixNano())},
		EventTime:  metav1.MicroTime{Time: now}, ReportingController: userAgent, ReportingInstance: r.instance,
		Action: "Assign", Reason: n.reason, Note: clipped(n.message), Regarding: *ref, Type: corev1.EventTypeNormal,
	}
	if n.warning {
		e.Type = corev1.EventTypeWarning
	}
	if e.Namespace == "" {
		e.Namespace = metav1.NamespaceDefault
	}
	return e, nil
}

// noteMost is how many bytes the API server takes of what an event says (events.k8s.io/v1).
const noteMost = 1024

func clipped(note string) string {
	const more = "…"
	if len(note) <= noteMost {
		return note
	}
	return strings.ToValidUTF8(note[:noteMost-len(more)], "") + more
}

// run writes until ctx ends, and then for a moment what is left.
func (r *recorder) run(ctx context.Context) {
	var all sync.WaitGroup
	for range recordsAtOnce {
		all.Go(func() { r.work(ctx) })
	}
	all.Wait()
}

func (r *recorder) work(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case e := <-r.queue:
			r.persist(ctx, e)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordsInTheEnd)
	defer cancel()
	for end.Err() == nil {
		select {
		case e := <-r.queue:
			_ = r.write(end, e)
		default:
			return
		}
	}
}

// persist writes an event, again when the API server was not reached or could not just then.
func (r *recorder) persist(ctx context.Context, e *eventsv1.Event) {
	for range recordAttempts {
		err := r.write(context.WithoutCancel(ctx), e)
		if err == nil {
			return
		}
		r.log.V(1).Info("event not written", "reason", err.Error())
		if status := apierrors.APIStatus(nil); errors.As(err, &status) && !passing(err) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait.Jitter(recordRetry, 0.25)):
		}
	}
}

// passing tells whether an answer may be another one soon.
func passing(err error) bool {
	return apierrors.IsTooManyRequests(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err)
}

func (r *recorder) write(ctx context.Context, e *eventsv1.Event) error {
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	return r.client.Create(ctx, e)
}
