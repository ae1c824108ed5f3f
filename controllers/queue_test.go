package controllers

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/internal/kube"
)

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

func TestOutboxServesBothEnds(t *testing.T) {
	b := newOutbox()
	for _, name := range []string{"a", "b", "c", "d"} {
		b.put(patch{key: named(name)})
	}
	var got []string
	for _, newest := range []bool{true, false, false, true} {
		p, ok := b.next(newest)
		if !ok {
			t.Fatal("closed")
		}
		got = append(got, p.key.Name)
	}
	if diff := cmp.Diff([]string{"d", "a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOutboxKeepsTheLatestOfEach(t *testing.T) {
	b := newOutbox()
	b.put(patch{key: named("a"), body: []byte("old")})
	b.put(patch{key: named("b")})
	b.put(patch{key: named("a"), body: []byte("new")})
	b.drop(named("b"))
	b.drop(named("never put"))
	p, _ := b.next(false)
	if string(p.body) != "new" || b.queue.Len() != 0 {
		t.Errorf("got %s with %d more, want the new one and no other", p.body, b.queue.Len())
	}
	if b.put(patch{key: named("a")}) || !b.busy(named("a")) {
		t.Error("a patch was taken while one of the same Service is on its way")
	}
	b.done(named("a"))
	if !b.put(patch{key: named("a")}) {
		t.Error("refused though none is on its way")
	}
}

func TestOutboxCloses(t *testing.T) {
	b := newOutbox()
	ended := make(chan bool)
	go func() {
		_, ok := b.next(false)
		ended <- ok
	}()
	b.close()
	if <-ended {
		t.Error("a worker got a patch from an empty outbox")
	}
	b.put(patch{key: named("a")})
	if _, ok := b.next(true); ok {
		t.Error("a closed outbox gives out what waits")
	}
}

func TestInboxRemembersNames(t *testing.T) {
	b := newInbox(kube.DefaultClasses())
	h := b.onServices()
	web := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "1"}}
	db := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db", UID: "2"}}
	h.OnAdd(web, true)
	h.OnUpdate(web, web)
	h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "default/db", Obj: db})
	b.onConfig().OnDelete(nil)
	b.markAll()
	<-b.ready()
	want := newDirty()
	want.config, want.all, want.services, want.moved, want.gone = true, true, keySet{named("db"): {}}, keySet{named("web"): {}}, map[types.UID]struct{}{"2": {}}
	if diff := cmp.Diff(want, b.take(), cmp.AllowUnexported(dirty{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(newDirty(), b.take(), cmp.AllowUnexported(dirty{})); diff != "" {
		t.Error("a second take: " + diff)
	}
	select {
	case <-b.ready():
		t.Error("it says that something is new")
	default:
	}
}

// TestEchoesAreNotLookedAtAgain: of the versions that the cache brings only those count that nobody has looked at.
func TestEchoesAreNotLookedAtAgain(t *testing.T) {
	cache := fakeCache{named("web"): version("1", "100")}
	a := &allocator{objects: newObjects(cache, newSlimmer()), settled: map[types.NamespacedName]string{named("web"): "100", named("gone"): "50"}}
	for _, tc := range []struct {
		name  string
		moved string
		rv    string
		want  bool
	}{
		{"the version that was looked at", "web", "100", false},
		{"a newer one", "web", "101", true},
		{"one that is gone", "gone", "101", true},
		{"one that was never looked at", "new", "101", true},
	} {
		cache[named("web")] = version("1", tc.rv)
		d := newDirty()
		d.moved[named(tc.moved)] = struct{}{}
		a.admit(t.Context(), d)
		if _, got := d.services[named(tc.moved)]; got != tc.want {
			t.Errorf("%s: looked at %t", tc.name, got)
		}
	}
}

func TestRetriesBackOff(t *testing.T) {
	r, now := newRetries(), time.Unix(1000, 0)
	if _, due := r.wait(now); due {
		t.Error("something is due before anything failed")
	}
	var waits []time.Duration
	for i := range 12 {
		if stuck := r.after(named("a"), now); stuck != (i+1 == stuckAfter) {
			t.Errorf("failure %d: stuck %t", i+1, stuck)
		}
		d, due := r.wait(now)
		if !due {
			t.Fatal("nothing is due")
		}
		waits = append(waits, d)
		if early := r.take(now.Add(d - 1)); early != nil {
			t.Fatalf("%v is due too early", early)
		}
		if got := r.take(now.Add(d)); !slices.Equal(got, []types.NamespacedName{named("a")}) {
			t.Fatalf("due: %v", got)
		}
	}
	for i, d := range waits {
		least := min(firstRetry<<i, lastRetry)
		if d < least || d > least*3/2 {
			t.Errorf("failure %d waits %v, want %v to %v", i+1, d, least, least*3/2)
		}
	}
	r.after(named("a"), now)
	r.after(named("b"), now)
	r.forget(named("a"))
	if got := r.take(now.Add(time.Hour)); !slices.Equal(got, []types.NamespacedName{named("b")}) {
		t.Errorf("due after a was forgotten: %v", got)
	}
	if _, due := r.wait(now); due {
		t.Error("something is due after all were taken")
	}
}
