package speaker

import (
	"testing"
	"time"
)

func TestRest(t *testing.T) {
	const pass = 5 * time.Millisecond
	var r rest
	now := time.Unix(1000, 0)
	// in turns: each pass begins as soon as it may.
	work := func(passes int, took time.Duration) (pause time.Duration) {
		for range passes {
			now = now.Add(took)
			pause = r.after(now, took)
			now = now.Add(pause)
		}
		return pause
	}
	if got := work(10, pass); got != 0 {
		t.Errorf("the first passes after a quiet time are followed by a pause of %s", got)
	}
	if got := work(20, pass); got != (share-1)*pass {
		t.Errorf("in the long run a pass of %s is followed by a pause of %s", pass, got)
	}
	if got := work(20, time.Second); got != restAtMost {
		t.Errorf("a long pass is followed by a pause of %s", got)
	}
	now = now.Add(2 * time.Second) // what a storm has run up is soon forgotten
	if got := work(1, pass); got != 0 {
		t.Errorf("after a quiet time again: %s", got)
	}
}
