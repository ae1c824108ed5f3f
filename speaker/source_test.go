package speaker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// slowCache is full at once; its handlers hear of it later.
type slowCache struct {
	cache.Cache
	cache.Informer
	toolscache.ResourceEventHandlerRegistration
	heard chan struct{}
}

func (c *slowCache) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return c, nil
}

func (c *slowCache) AddEventHandler(toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	return c, nil
}

func (c *slowCache) WaitForCacheSync(context.Context) bool    { return true }
func (c *slowCache) HasSyncedChecker() toolscache.DoneChecker { return c }
func (c *slowCache) Name() string                             { return "slow" }
func (c *slowCache) Done() <-chan struct{}                    { return c.heard }
func (c *slowCache) HasSynced() bool                          { return true }
func (c *slowCache) IndexField(context.Context, client.Object, string, client.IndexerFunc) error {
	return nil
}

// TestNoPlanBeforeAllIsHeard: a plan without Services that are on their way to the catalog would give their addresses away.
func TestNoPlanBeforeAllIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs logbook
		slow := &slowCache{heard: make(chan struct{})}
		s, err := New(Options{Node: "n1", Namespace: ns, Client: cluster(t), Cache: slow, Log: logs.logger()})
		must(t, err)
		synced, kept := make(chan struct{}), &snapshot{catalog: newCatalog()}
		s.source.kept.Store(kept)
		go s.sync(t.Context(), synced)
		elapse(time.Hour)
		if s.source.catalog() != kept.catalog {
			t.Error("turns from the snapshot before the catalog has heard what the caches hold")
		}
		select {
		case <-synced:
			t.Error("plans before the catalog has heard what the caches hold")
		default:
		}
		close(slow.heard)
		elapse(time.Second)
		select {
		case <-synced:
		default:
			t.Error("does not plan")
		}
		if s.source.catalog() != s.live {
			t.Error("does not turn from the snapshot")
		}
	})
}
