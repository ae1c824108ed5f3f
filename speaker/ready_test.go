package speaker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/belfry-lb/belfry/speaker/l2"
)

// starting is a rig whose passes wait for the caches, as a speaker's do.
type starting struct {
	*rig
	synced chan struct{}
}

func (r *starting) during(s *Speaker, f func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.begin(ctx, r.synced, nil) {
			r.run(ctx)
		}
	}()
	f()
	cancel()
	<-done
}

// TestReadyMeansSomething: /readyz says no while any one thing is missing, and yes as soon as it is there.
func TestReadyMeansSomething(t *testing.T) {
	broken := errors.New("broken")
	fill := func(r *starting) { close(r.synced) }
	settle := func(r *starting) { close(r.members.settled) }
	open := func(r *starting) {
		r.wire.interfaces.Store(&[]l2.Interface{eth0()})
		close(r.wire.opened)
	}
	fail := func(r *starting) { r.wire.fail.Store(&broken) }
	mend := func(r *starting) { r.wire.fail.Store(nil) }
	for _, tt := range []struct {
		missing string
		before  []func(*starting)
		last    func(*starting)
	}{
		{"the caches", []func(*starting){open, settle}, fill},
		{"the group", []func(*starting){fill, open}, settle},
		{"the sockets", []func(*starting){fill, settle}, open},
		{"a pass that succeeds", []func(*starting){fail, fill, open, settle}, mend},
	} {
		t.Run(tt.missing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &starting{newRig(t), make(chan struct{})}
				s := Speaker{o: r.passer.o}
				r.passer.ready = &s.ready
				r.during(&s, func() {
					for _, f := range tt.before {
						f(r)
					}
					elapse(10 * retryAfter)
					if s.Ready() == nil {
						t.Error("ready without it")
					}
					tt.last(r)
					elapse(10 * retryAfter)
					if err := s.Ready(); err != nil {
						t.Error(err)
					}
				})
			})
		})
	}
}
