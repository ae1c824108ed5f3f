package members

import (
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// TestLibraryIsNeverBlocked calls what memberlist's goroutines call, with its locks held, many times more than there is
// room for, while nobody takes anything: the group does not run, and nobody reads Changed.
func TestLibraryIsNeverBlocked(t *testing.T) {
	g, err := New(validOptions())
	if err != nil {
		t.Fatal(err)
	}
	g.delegate.setMeta(g.meta())
	facts := filled(5000, 1)
	message := whole("n1", testStamp(1, facts), facts).encode(kindWhole)
	node := &memberlist.Node{Name: "n1", Addr: net.IPv4(192, 0, 2, 1), Port: DefaultPort}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 4 * inboxSize {
			g.registrar.NotifyJoin(node)
			g.registrar.NotifyUpdate(node)
			g.delegate.NotifyMsg(message)
			g.delegate.NotifyMsg([]byte{kindPiece})
			g.delegate.MergeRemoteState(message, false)
			g.delegate.answer("n1")
			g.delegate.NodeMeta(memberlist.MetaMaxSize)
			g.delegate.GetBroadcasts(0, 1400)
			g.delegate.LocalState(true)
			g.registrar.NotifyLeave(node)
		}
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("memberlist would be held up")
	}
	if got := value(t, g.metrics.dropped.WithLabelValues(droppedOverflow)); got == 0 {
		t.Error("nothing overflowed, so nothing was tried")
	}
}

// TestCountsOfTheGoneAreBounded has nodes come and go under ever new names.
func TestCountsOfTheGoneAreBounded(t *testing.T) {
	r := newRegistrar(func(string) {}, func() {})
	stays := &memberlist.Node{Name: "stays", Addr: net.IPv4(192, 0, 2, 1)}
	r.NotifyJoin(stays)
	r.NotifyLeave(stays)
	r.NotifyJoin(stays)
	for i := range 3 * maxRemembered {
		n := &memberlist.Node{Name: "n" + string(rune('a'+i%26)) + time.Duration(i).String(), Addr: net.IPv4(192, 0, 2, 2)}
		r.NotifyJoin(n)
		r.NotifyLeave(n)
	}
	if len(r.joins) > maxRemembered {
		t.Errorf("%d counts are kept", len(r.joins))
	}
	if got := r.load()["stays"].joins; got != 2 {
		t.Errorf("the one that stays came %d times, want 2", got)
	}
}
