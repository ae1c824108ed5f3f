package kube

import (
	"fmt"
	"sync/atomic"
	"time"
)

// PassMost is how long one pass of a program's main loop may take. It reads caches and asks other parts of the program; the
// API server it asks for a few seconds at most. So one that takes longer waits for what will never come.
const PassMost = time.Minute

// Passes knows whether the passes of a loop end. The zero value is ready for use, by one loop and any number of askers.
type Passes struct {
	began atomic.Pointer[time.Time] // of the running pass, nil while none runs
}

// Begin notes that a pass begins; the loop calls what it returns when that pass is over.
func (p *Passes) Begin() (end func()) {
	now := time.Now()
	p.began.Store(&now)
	return func() { p.began.Store(nil) }
}

// Alive returns an error while a pass has been running for more than PassMost. Restarting the program is the only cure. It
// is no fault that none runs: nothing has changed, or the loop has not begun.
func (p *Passes) Alive() error {
	began := p.began.Load()
	if began == nil {
		return nil
	}
	if took := time.Since(*began); took > PassMost {
		return fmt.Errorf("a pass has been running for %v, more than %v: it hangs", took.Round(time.Second), PassMost)
	}
	return nil
}
