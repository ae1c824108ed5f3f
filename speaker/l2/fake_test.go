package l2

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

var errClosed = errors.New("closed")

// fakeSystem is a node made of values. Everything happens inside a synctest bubble.
type fakeSystem struct {
	mu         sync.Mutex
	interfaces []Interface
	scanErr    error
	openErr    error
	scans      int
	watches    int
	wires      []*fakeWire // all that were ever opened
	watcher    *fakeWatcher
	closed     bool
}

func (s *fakeSystem) scan() ([]Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scans++
	return slices.Clone(s.interfaces), s.scanErr
}

func (s *fakeSystem) watch() (watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches++
	s.watcher = &fakeWatcher{events: make(chan error), done: make(chan struct{})}
	return s.watcher, nil
}

func (s *fakeSystem) open(i Interface, p protocol) (wire, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.openErr != nil {
		return nil, s.openErr
	}
	w := &fakeWire{mu: &s.mu, on: slotKey{i.Index, p}, born: time.Now(), frames: make(chan any), done: make(chan struct{}),
		targets: map[netip.Addr]bool{}, watched: map[netip.Addr]bool{}}
	s.wires = append(s.wires, w)
	return w, nil
}

func (s *fakeSystem) close() { s.closed = true }

// do changes the fake while the announcer runs. What it recorded may be read whenever the bubble is at rest.
func (s *fakeSystem) do(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// pass lets time go by until the bubble is at rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// set changes the interfaces and, as the kernel would, tells so.
func (s *fakeSystem) set(list ...Interface) {
	s.do(func() { s.interfaces = list })
	s.watching().events <- nil
	synctest.Wait()
}

// all returns every socket that was ever opened, in order.
func (s *fakeSystem) all() []*fakeWire {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.wires)
}

// live returns the sockets that are open.
func (s *fakeSystem) live() []*fakeWire {
	return slices.DeleteFunc(s.all(), func(w *fakeWire) bool { return isDone(w.done) })
}

// watching returns the latest watcher.
func (s *fakeSystem) watching() *fakeWatcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watcher
}

func (s *fakeSystem) count(n *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *n
}

type fakeWatcher struct {
	events chan error
	done   chan struct{}
	once   sync.Once
}

func (w *fakeWatcher) next() error {
	select {
	case err := <-w.events:
		return err
	case <-w.done:
		return errClosed
	}
}

func (w *fakeWatcher) Close() { w.once.Do(func() { close(w.done) }) }

// fakeWire records when which addresses were announced, probed and answered.
type fakeWire struct {
	mu        *sync.Mutex // the system's
	on        slotKey
	born      time.Time
	frames    chan any // a heard, or the error that ends the socket
	done      chan struct{}
	once      sync.Once
	announced []said
	probed    []said
	replied   []MAC
	targets   map[netip.Addr]bool
	watched   map[netip.Addr]bool
	sendErr   error
	hearErr   error
	replying  chan struct{} // if not nil: received from before a reply leaves
}

type said struct {
	at   time.Duration // since the wire was opened
	addr netip.Addr
}

func (w *fakeWire) read() (heard, error) {
	select {
	case x := <-w.frames:
		if err, ok := x.(error); ok {
			return heard{}, err
		}
		return x.(heard), nil
	case <-w.done:
		return heard{}, errClosed
	}
}

func (w *fakeWire) reply(_ heard, a answer) error {
	if w.replying != nil {
		<-w.replying
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replied = append(w.replied, a.mac)
	return nil
}

func (w *fakeWire) announce(list []netip.Addr, find lookup) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range list {
		if find(a).speaks() {
			w.announced = append(w.announced, said{time.Since(w.born), a})
			n++
		}
	}
	return n, w.sendErr
}

func (w *fakeWire) probe(list []netip.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range list {
		w.probed = append(w.probed, said{time.Since(w.born), a})
	}
	return len(list), w.sendErr
}

func (w *fakeWire) hear(h hearing) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range h.asked {
		w.targets[a] = true
	}
	for _, a := range h.unasked {
		delete(w.targets, a)
	}
	for _, a := range h.watched {
		w.watched[a] = true
	}
	for _, a := range h.unwatched {
		delete(w.watched, a)
	}
	return w.hearErr
}

func (w *fakeWire) Close() error { w.once.Do(func() { close(w.done) }); return nil }

func (w *fakeWire) said() []said {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.announced)
}

func (w *fakeWire) asked() []said {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.probed)
}

func (w *fakeWire) heard() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(maps.Keys(w.targets), netip.Addr.Compare)
}

// bubble runs story against an announcer on a fake system whose clock is the story's.
func bubble(t *testing.T, s *fakeSystem, story func(t *testing.T, a *Announcer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(nil)
		if err != nil {
			t.Fatal(err)
		}
		a := newAnnouncer(logr.Discard(), m, func() (system, error) { return s, nil })
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		story(t, a)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if len(s.live()) > 0 || !s.closed {
			t.Error("sockets left open")
		}
	})
}

func apply(t *testing.T, a *Announcer, list ...string) Running {
	t.Helper()
	d := Desired{Entries: map[netip.Addr]Entry{}}
	for _, x := range addrs(list...) {
		d.Entries[x] = Entry{}
	}
	return applyAll(t, a, d)
}

func applyAll(t *testing.T, a *Announcer, d Desired) Running {
	t.Helper()
	r, err := a.Apply(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return r
}

// replies reads the counter of one socket.
func replies(a *Announcer, i string, p protocol) float64 {
	return value(a.metrics.replies(i, p))
}

// counted lists the interfaces for which there is a series of any metric, sorted.
func (m *metrics) counted(t *testing.T) []string {
	t.Helper()
	r, names := prometheus.NewRegistry(), map[string]bool{}
	for _, c := range m.all() {
		r.MustRegister(c)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, s := range f.Metric {
			for _, l := range s.Label {
				if l.GetName() == "interface" {
					names[l.GetValue()] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func value(c prometheus.Counter) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		panic(err)
	}
	return m.GetCounter().GetValue()
}

func testLog(t testing.TB) logr.Logger { return logr.New(testSink{t}) }

// testSink writes to the test's log.
type testSink struct{ t testing.TB }

func (s testSink) Init(logr.RuntimeInfo)           {}
func (s testSink) Enabled(int) bool                { return true }
func (s testSink) Info(l int, m string, kv ...any) { s.t.Log(append([]any{"V", l, m}, kv...)...) }
func (s testSink) Error(e error, m string, kv ...any) {
	s.t.Log(append([]any{"ERROR", e, m}, kv...)...)
}
func (s testSink) WithValues(...any) logr.LogSink { return s }
func (s testSink) WithName(string) logr.LogSink   { return s }
