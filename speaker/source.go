package speaker

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// apiPatience is how long a speaker that has a snapshot waits for the API server. Its addresses are waiting meanwhile.
const apiPatience = 2 * time.Second

// source is a client whose reads come from a snapshot until the caches are there.
type source struct {
	client.Client // cached reads, direct writes
	kept          atomic.Pointer[snapshot]
	live          *catalog
}

// catalog is the snapshot's until the caches are there.
func (s *source) catalog() *catalog {
	if kept := s.kept.Load(); kept != nil {
		return kept.catalog
	}
	return s.live
}

// Get implements client.Reader.
func (s *source) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if kept := s.kept.Load(); kept != nil {
		return kept.Get(ctx, key, o, opts...)
	}
	return s.Client.Get(ctx, key, o, opts...)
}

// List implements client.Reader.
func (s *source) List(ctx context.Context, l client.ObjectList, opts ...client.ListOption) error {
	if kept := s.kept.Load(); kept != nil {
		return kept.List(ctx, l, opts...)
	}
	return s.Client.List(ctx, l, opts...)
}

// begin waits until there is something to plan from: the caches, or the last speaker's snapshot where the API server does
// not answer. False means that ctx has ended.
func (s *Speaker) begin(ctx context.Context, synced <-chan struct{}, kept *snapshot) bool {
	select {
	case <-ctx.Done():
		return false
	case <-synced:
		return true
	case <-time.After(apiPatience):
	}
	if kept == nil {
		s.o.Log.Info("Waiting for the API server", "node", s.o.Node)
		select {
		case <-ctx.Done():
			return false
		case <-synced:
			return true
		}
	}
	s.o.Log.Info("The API server is away: planning from the last speaker's snapshot", "node", s.o.Node, "taken", kept.taken)
	s.metrics.snapshot.Set(1)
	s.source.kept.Store(kept)
	select {
	case <-synced: // just now
		s.turn()
	default:
	}
	return true
}

// sync fills the caches, and the catalog, which hears a moment later what they hold. Then it closes synced, and has everything
// read from them from then on.
func (s *Speaker) sync(ctx context.Context, synced chan<- struct{}) {
	heard, ok := s.watch(ctx)
	if !ok || !s.o.Cache.WaitForCacheSync(ctx) || !toolscache.WaitFor(ctx, "", heard...) {
		return // told to stop before the API server was heard
	}
	close(synced)
	s.turn()
}

// turn has everything read from the caches.
func (s *Speaker) turn() {
	if s.source.kept.Swap(nil) != nil {
		s.o.Log.Info("The API server is back: planning from it again", "node", s.o.Node)
		s.dirt.markAll() // nobody tells of what has gone since the snapshot was taken
	}
	s.metrics.snapshot.Set(0)
	s.touch()
}

// touch says that something has changed that a plan is made from.
func (s *Speaker) touch() {
	s.changed.raise()
	s.dirty.raise()
}

// remember writes a snapshot whenever something has changed, though not all the time.
func (s *Speaker) remember(ctx context.Context, synced <-chan struct{}, keys *keyring) {
	if s.o.SnapshotDir == "" {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-synced:
	}
	for failed := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.dirty:
		}
		began := time.Now()
		err := s.save(ctx, keys)
		if err != nil && ctx.Err() == nil {
			if s.dirty.raise(); !failed {
				s.o.Log.Error(err, "Could not write the snapshot for this node's next speaker, trying again", "node", s.o.Node)
			}
		}
		failed = err != nil
		if !sleep(ctx, max(snapshotPause, snapshotShare*time.Since(began))) {
			return
		}
	}
}

func (s *Speaker) save(ctx context.Context, keys *keyring) error {
	taken, err := takeSnapshot(ctx, s.o.Client, s.o.Client.Scheme(), s.live)
	if err != nil {
		return err
	}
	taken.keys = keys.keys()
	return writeSnapshot(s.o.SnapshotDir, func(w io.Writer) error { return taken.encode(w, s.o.Node) })
}
