package l2

import "sync/atomic"

// gate lets the owner wait out an answer that was decided before the owner changed what to decide. The reader goes through
// it with each answer and is never held up.
type gate struct {
	turns atomic.Uint64 // odd while the reader is inside
	left  chan struct{} // has room for one
}

func newGate() *gate { return &gate{left: make(chan struct{}, 1)} }

func (g *gate) enter() { g.turns.Add(1) }

func (g *gate) leave() {
	g.turns.Add(1)
	select {
	case g.left <- struct{}{}:
	default:
	}
}

// settle returns once the reader has left if it was inside. A token may be of an earlier turn, hence the loop; the one of
// this turn is always there when the turn is over.
func (g *gate) settle() {
	turn := g.turns.Load()
	for turn%2 == 1 && g.turns.Load() == turn {
		<-g.left
	}
}
