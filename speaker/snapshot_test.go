package speaker

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

func cluster(t *testing.T) client.WithWatch {
	t.Helper()
	return fakeAPI(t, newNode("n1"), newNode("n2"), newPod("n1", "192.0.2.1"), newPod("n2", "192.0.2.2"), newSecret("key"),
		&v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "pool"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"192.0.2.100-192.0.2.120"}}},
		&v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}},
	).Build()
}

func catalogOfCluster(t *testing.T) *catalog {
	t.Helper()
	return catalogOf(t, newService("web"), newSlice("web", "web-1", endpoint("n1", nil, nil)), newSlice("web", "web-2", endpoint("n1", nil, nil)),
		newService("foreign", func(s *corev1.Service) { s.Annotations = nil }), newSlice("foreign", "foreign-1"), newSlice("none", "none-1"),
		leavingService("leaving", "192.0.2.101"))
}

func taken(t *testing.T, api client.WithWatch) *snapshot {
	t.Helper()
	s, err := takeSnapshot(t.Context(), api, api.Scheme(), catalogOfCluster(t))
	must(t, err)
	s.keys = [][]byte{[]byte("key"), []byte("old")}
	return s
}

func encoded(t *testing.T, s *snapshot, node string) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, s.encode(&b, node))
	return b.Bytes()
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	must(t, errors.Join(err, w.Close()))
	return b.Bytes()
}

func plain(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// TestSnapshotIsTheSameWorld plans from the API server and from a snapshot of it that has been in a file.
func TestSnapshotIsTheSameWorld(t *testing.T) {
	api, dir := cluster(t), t.TempDir()
	must(t, writeSnapshot(dir, plain([]byte("something longer"))))
	must(t, writeSnapshot(dir, plain(encoded(t, taken(t, api), "n1")))) // replaces
	var logs logbook
	s := loadSnapshot(dir, "n1", api.Scheme(), logs.logger())
	if s == nil || len(logs.lines) > 0 {
		t.Fatalf("not loaded: %s", logs.lines)
	}
	info, err := os.Stat(filepath.Join(dir, snapshotFile))
	must(t, err)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 || info.Mode() != 0o600 {
		t.Errorf("%d files, mode %o, %v", len(files), info.Mode(), err)
	}
	type world struct {
		Config   *spec.Snapshot
		Services []plan.Service
		Nodes    []spec.Node
	}
	gather := func(r client.Reader, known *catalog) (w world) {
		g := newGatherer(r, known)
		var err [2]error
		var objects spec.Objects
		objects, err[0] = g.config(t.Context())
		w.Config, _ = spec.Parse(objects)
		w.Services = g.catalog().all()
		w.Nodes, err[1] = g.nodes(t.Context())
		must(t, errors.Join(err[:]...))
		return w
	}
	if got, want := gather(s, s.catalog), gather(api, catalogOfCluster(t)); !reflect.DeepEqual(got, want) || len(want.Services) != 1 || len(want.Nodes) != 2 {
		t.Errorf("the world is %+v\nwant %+v", got, want)
	}
	if diff := cmp.Diff([][]byte{[]byte("key"), []byte("old")}, s.keys); diff != "" {
		t.Error(diff)
	}
	if key, err := gossipKey(t.Context(), s, ns); err != nil || string(key) != "key" {
		t.Errorf("the gossip key is %q, %v", key, err)
	}
	testReader(t, s)
}

func testReader(t *testing.T, s *snapshot) {
	t.Helper()
	var pods corev1.PodList
	must(t, s.List(t.Context(), &pods, client.InNamespace(ns), PodLabels()))
	if len(pods.Items) != 2 {
		t.Errorf("%d pods", len(pods.Items))
	}
	must(t, s.List(t.Context(), &pods, client.InNamespace("elsewhere")))
	if len(pods.Items) != 0 {
		t.Errorf("%d pods elsewhere", len(pods.Items))
	}
	must(t, s.List(t.Context(), &pods, client.MatchingLabels{"no": "such"}))
	if len(pods.Items) != 0 {
		t.Errorf("%d pods with a label that none has", len(pods.Items))
	}
	if gone := s.gone(); len(s.services) != 2 || len(gone) != 1 || gone[0].Key.Name != "leaving" || len(gone[0].Held) != 1 {
		t.Errorf("kept %d Services, of which are leaving: %v; want web and leaving", len(s.services), gone)
	}
	if err := s.Get(t.Context(), types.NamespacedName{Name: "n9"}, &corev1.Node{}); !apierrors.IsNotFound(err) {
		t.Errorf("a Node that is not there: %v", err)
	}
	if err := s.Get(t.Context(), types.NamespacedName{Name: "c"}, &corev1.ConfigMap{}); err == nil || apierrors.IsNotFound(err) {
		t.Errorf("a kind that is not kept: %v", err)
	}
	if err := s.List(t.Context(), &corev1.ConfigMapList{}); err == nil {
		t.Error("a kind that is not kept was listed")
	}
}

func TestUselessSnapshots(t *testing.T) {
	api := cluster(t)
	good, other := encoded(t, taken(t, api), "n1"), encoded(t, taken(t, api), "n2")
	changed := bytes.Clone(good)
	changed[len(changed)/2] ^= 1
	for name, b := range map[string][]byte{
		"empty": {}, "cut off": good[:len(good)/2], "cut off early": good[:10], "one byte changed": changed, "of another node": other,
		"of another form": zipped(t, `{"belfrySpeakerSnapshot":2,"node":"n1"}`), "of other kinds": zipped(t, `{"belfrySpeakerSnapshot":3,"node":"n1","kinds":["x"]}`),
		"of something else": zipped(t, "PATH=/bin"), "garbage": []byte("garbage\nmore"), "something appended": append(bytes.Clone(good), '\n'),
	} {
		t.Run(name, func(t *testing.T) {
			var logs logbook
			dir := t.TempDir()
			must(t, writeSnapshot(dir, plain(b)))
			if s := loadSnapshot(dir, "n1", api.Scheme(), logs.logger()); s != nil || len(logs.lines) != 1 {
				t.Errorf("loaded %v, logged %d lines: %s", s != nil, len(logs.lines), logs.lines)
			}
		})
	}
	var logs logbook
	for _, dir := range []string{"", t.TempDir()} {
		if s := loadSnapshot(dir, "n1", api.Scheme(), logs.logger()); s != nil || len(logs.lines) > 0 {
			t.Errorf("loaded %v from nowhere: %s", s, logs.lines)
		}
	}
}

// newKeeper is a speaker of which only the snapshots are used.
func newKeeper(t *testing.T, logs *logbook, dir string) (*Speaker, client.WithWatch) {
	t.Helper()
	api := cluster(t)
	s, err := New(Options{Node: "n1", Namespace: ns, SnapshotDir: dir, Client: api, Log: logs.logger()})
	must(t, err)
	return s, api
}

// TestSnapshotsAreWritten: after changes, not without, and not all the time.
func TestSnapshotsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs logbook
		dir := filepath.Join(t.TempDir(), "later")
		s, api := newKeeper(t, &logs, dir)
		ctx, cancel := context.WithCancel(context.Background())
		synced, ended := make(chan struct{}), make(chan struct{})
		go func() { s.remember(ctx, synced, newKeyring([]byte("key"), nil)); close(ended) }()
		read := func() *snapshot { return loadSnapshot(dir, "n1", api.Scheme(), logs.logger()) }
		s.touch()
		elapse(time.Minute)
		if len(logs.lines) > 0 {
			t.Errorf("written before the caches were there: %s", logs.lines)
		}
		close(synced)
		elapse(10 * snapshotPause)
		if n := logs.count("Could not write the snapshot"); n != 1 || read() != nil {
			t.Errorf("%d lines about a folder that is not there: %s", n, logs.lines)
		}
		must(t, os.Mkdir(dir, 0o700))
		elapse(2 * snapshotPause)
		first := read()
		s.touch()
		elapse(snapshotPause)
		for range 100 {
			s.touch()
			elapse(snapshotPause / 20)
		}
		last := read()
		if first == nil || last == nil || !last.taken.After(first.taken) || time.Since(last.taken) > 2*snapshotPause {
			t.Fatalf("written at %v and %v", first, last)
		}
		elapse(time.Hour)
		if again := read(); time.Since(again.taken) < time.Hour-2*snapshotPause {
			t.Error("written without need")
		}
		cancel()
		<-ended
	})
}

// TestBegin: caches in time, caches late, no snapshot, and told to stop.
func TestBegin(t *testing.T) {
	for _, tc := range []struct {
		name         string
		kept         bool
		syncs        time.Duration
		stops        time.Duration
		after        time.Duration
		ok, fromKept bool
	}{
		{"caches in time", true, time.Second, time.Hour, time.Second, true, false},
		{"caches late", true, time.Minute, time.Hour, apiPatience, true, true},
		{"no snapshot", false, time.Minute, time.Hour, time.Minute, true, false},
		{"told to stop", false, time.Hour, time.Minute, time.Minute, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var logs logbook
				s, api := newKeeper(t, &logs, "")
				ctx, cancel := context.WithTimeout(context.Background(), tc.stops)
				defer cancel()
				synced := make(chan struct{})
				time.AfterFunc(tc.syncs, func() { close(synced) })
				var kept *snapshot
				if tc.kept {
					kept = taken(t, api)
				}
				began := time.Now()
				ok := s.begin(ctx, synced, kept)
				if took := time.Since(began); ok != tc.ok || took != tc.after || (s.source.kept.Load() != nil) != tc.fromKept {
					t.Errorf("began with %v after %s, from the snapshot: %v", ok, took, s.source.kept.Load() != nil)
				}
				if n := logs.count("planning from the last speaker's snapshot"); (n == 1) != tc.fromKept {
					t.Errorf("logged %s", logs.lines)
				}
				elapse(time.Hour)
			})
		})
	}
}

// TestSourceSwitches reads from the snapshot, then from the caches.
func TestSourceSwitches(t *testing.T) {
	var logs logbook
	s, api := newKeeper(t, &logs, "")
	old := taken(t, api)
	must(t, api.Create(t.Context(), newNode("n3")))
	count := func() int {
		var nodes corev1.NodeList
		must(t, s.o.Client.List(t.Context(), &nodes))
		return len(nodes.Items)
	}
	s.source.kept.Store(old)
	if n := count(); n != 2 {
		t.Errorf("%d nodes in the snapshot, want 2", n)
	}
	if err := s.o.Client.Get(t.Context(), types.NamespacedName{Name: "n3"}, &corev1.Node{}); !apierrors.IsNotFound(err) {
		t.Errorf("n3 in the snapshot: %v", err)
	}
	s.source.kept.Store(nil)
	if n := count(); n != 3 {
		t.Errorf("%d nodes in the caches, want 3", n)
	}
	must(t, s.o.Client.Get(t.Context(), types.NamespacedName{Name: "n3"}, &corev1.Node{}))
}
