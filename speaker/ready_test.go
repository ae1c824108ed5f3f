package speaker

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/belfry-lb/belfry/speaker/l2"
)

// TestReadyMeansSomething: /readyz says no while any one thing is missing, and yes as soon as it is there.
func TestReadyMeansSomething(t *testing.T) {
	broken := errors.New("broken")
	settle := func(r *rig) { close(r.members.settled) }
	open := func(r *rig) {
		r.wire.interfaces.Store(&[]l2.Interface{eth0()})
		close(r.wire.opened)
	}
	fail := func(r *rig) { r.wire.fail.Store(&broken) }
	mend := func(r *rig) { r.wire.fail.Store(nil) }
	for _, tt := range []struct {
		missing string
		before  []func(*rig)
		last    func(*rig)
	}{
		{"the group", []func(*rig){open}, settle},
		{"the sockets", []func(*rig){settle}, open},
		{"a pass that succeeds", []func(*rig){fail, open, settle}, mend},
	} {
		t.Run(tt.missing, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s Speaker
				r := newRig(t)
				r.passer.ready = &s.ready
				r.during(func() {
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
