package l2

import (
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// toldEvery is the least time between two reports of the same claim. It is less than two probes are apart at the ends
	// of a probing, so that none can pass because a claim was reported just before.
	toldEvery = 100 * time.Millisecond
	// toldMost bounds what is remembered of what was reported.
	toldMost = 1024
)

// responder is one open socket and the goroutine that reads from it.
type responder struct {
	wire    wire
	table   table
	gate    *gate
	replies prometheus.Counter
	stop    chan struct{} // closed by the owner before it closes the wire
	done    chan struct{} // closed when the goroutine has ended

	on     slotKey
	claims chan<- claim
	failed chan<- failure
	told   map[told]time.Time // the goroutine's alone
}

// failure says that a responder's socket is of no more use.
type failure struct {
	of  *responder
	err error
}

// claim says that a station was heard to have an address, or to want it if it is only probing.
type claim struct {
	of *responder
	told
}

type told struct {
	addr  netip.Addr
	mac   MAC
	probe bool
}

// run answers until the socket fails or is closed. Only a failure that the owner did not bring about is reported.
func (r *responder) run() {
	defer close(r.done)
	for {
		h, err := r.wire.read()
		if err != nil {
			select {
			case r.failed <- failure{r, err}:
			case <-r.stop:
			}
			return
		}
		if h.asked.IsValid() {
			r.answer(h)
		}
		if h.claimed.IsValid() {
			r.tell(told{h.claimed, h.from, false})
		}
		if h.probe {
			r.tell(told{h.asked, h.from, true})
		}
	}
}

// answer decides inside the gate: what was found out there is not said after the owner has closed it.
func (r *responder) answer(h heard) {
	r.gate.enter()
	defer r.gate.leave()
	if a := r.table.find(h.asked); a.speaks() && r.wire.reply(h, a) == nil {
		r.replies.Inc()
	}
}

// tell reports a claim to the owner, who may be busy: then it is lost, like a frame. Claims repeat themselves.
func (r *responder) tell(c told) {
	if !r.table.find(c.addr).watch {
		return
	}
	now := time.Now()
	if at, ok := r.told[c]; ok && now.Sub(at) < toldEvery {
		return
	}
	if len(r.told) >= toldMost {
		clear(r.told)
	}
	select {
	case r.claims <- claim{r, c}:
		r.told[c] = now
	default:
	}
}

// adopt makes the changes. When it returns, no answer that was right before and is not any more leaves; that holds before
// the filter has followed.
func (r *responder) adopt(changes map[netip.Addr]answer) error {
	h, revoked := hearing{}, false
	for a, to := range changes {
		was := r.table.find(a)
		h.note(a, was, to)
		revoked = revoked || was.speaks() && (was.role != to.role || was.mac != to.mac)
	}
	r.table.update(changes)
	if revoked {
		r.gate.settle()
	}
	if h.empty() {
		return nil
	}
	return r.wire.hear(h)
}

// announced finds what may be said unasked: a stand-in has nothing to say of its own.
func (r *responder) announced(a netip.Addr) answer {
	if to := r.table.find(a); to.role == owned {
		return to
	}
	return answer{}
}

// close ends the goroutine and waits for it.
func (r *responder) close() {
	close(r.stop)
	_ = r.wire.Close()
	<-r.done
}
