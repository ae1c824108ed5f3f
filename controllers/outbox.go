package controllers

import (
	"container/list"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// outbox holds the patches to send, at most one for each Service. Workers take from both ends:
//
//	oldest ◀── half of the workers     [ … ]     the other half ──▶ newest
//
// so that a Service created now never waits behind a backlog of thousands, and the backlog never waits for ever. What only
// tells who announces a Service waits until nothing else does.
type outbox struct {
	mu      sync.Mutex
	wake    *sync.Cond
	queue   *list.List // of patch
	later   *list.List // of patch that announces
	at      map[types.NamespacedName]*list.Element
	sending map[types.NamespacedName]bool
	closed  bool
}

func newOutbox() *outbox {
	b := &outbox{queue: list.New(), later: list.New(), at: map[types.NamespacedName]*list.Element{}, sending: map[types.NamespacedName]bool{}}
	b.wake = sync.NewCond(&b.mu)
	return b
}

// put queues a patch, or replaces the one of the same Service that waits already, which keeps its place. It returns false
// and does nothing while one of the same Service is on its way: this one is out of date then.
func (b *outbox) put(p patch) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sending[p.key] {
		return false
	}
	if e := b.at[p.key]; e != nil {
		if e.Value.(patch).announces == p.announces {
			e.Value = p
			return true
		}
		b.remove(p.key)
	}
	b.at[p.key] = b.listOf(p).PushBack(p)
	b.wake.Signal()
	return true
}

func (b *outbox) listOf(p patch) *list.List {
	if p.announces {
		return b.later
	}
	return b.queue
}

// drop takes back what waits for a Service.
func (b *outbox) drop(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.remove(key)
}

func (b *outbox) remove(key types.NamespacedName) {
	if e := b.at[key]; e != nil {
		b.listOf(e.Value.(patch)).Remove(e)
		delete(b.at, key)
	}
}

// busy tells whether a patch of the Service is on its way.
func (b *outbox) busy(key types.NamespacedName) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sending[key]
}

// waiting tells whether patches wait to be sent that assign something.
func (b *outbox) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queue.Len() > 0
}

// next waits for a patch and marks it as on its way; false when the outbox is closed.
func (b *outbox) next(newest bool) (patch, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.queue.Len()+b.later.Len() == 0 && !b.closed {
		b.wake.Wait()
	}
	if b.closed {
		return patch{}, false
	}
	from := b.queue
	if from.Len() == 0 {
		from = b.later
	}
	e := from.Front()
	if newest {
		e = from.Back()
	}
	p := e.Value.(patch)
	b.remove(p.key)
	b.sending[p.key] = true
	return p, true
}

// done says that the patch of a Service is not on its way any more.
func (b *outbox) done(key types.NamespacedName) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sending, key)
}

// close ends the workers; what waits is not sent.
func (b *outbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wake.Broadcast()
}
