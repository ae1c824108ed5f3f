package l2

import (
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// responder is one open socket and the goroutine that reads from it.
type responder struct {
	wire    wire
	table   atomic.Pointer[table]
	replies prometheus.Counter
	stop    chan struct{} // closed by the owner before it closes the wire
	done    chan struct{} // closed when the goroutine has ended
}

// failure says that a responder's socket is of no more use.
type failure struct {
	on  slotKey
	of  *responder
	err error
}

func newResponder(w wire, replies prometheus.Counter) *responder {
	r := &responder{wire: w, replies: replies, stop: make(chan struct{}), done: make(chan struct{})}
	r.table.Store(&table{})
	return r
}

// find is the whole cost of deciding on a frame: one atomic load and one map access.
func (r *responder) find(a netip.Addr) (answer, bool) {
	ans, ok := (*r.table.Load())[a]
	return ans, ok
}

// run answers until the socket fails or is closed. Only a failure that the owner did not bring about is reported.
func (r *responder) run(on slotKey, failed chan<- failure) {
	defer close(r.done)
	for {
		answered, err := r.wire.serve(r.find)
		if err != nil {
			select {
			case failed <- failure{on, r, err}:
			case <-r.stop:
			}
			return
		}
		if answered {
			r.replies.Inc()
		}
	}
}

// adopt makes t the table and returns its addresses that were not answered before, sorted. Addresses that have gone are
// silent at once, before the filter has followed.
func (r *responder) adopt(t table) ([]netip.Addr, error) {
	old := *r.table.Load()
	if maps.EqualFunc(old, t, answer.equal) {
		return nil, nil
	}
	r.table.Store(&t)
	if err := r.wire.retarget(slices.Collect(maps.Keys(t))); err != nil {
		return nil, err
	}
	var added []netip.Addr
	for a, to := range t {
		if was, ok := old[a]; !ok || !was.equal(to) {
			added = append(added, a)
		}
	}
	slices.SortFunc(added, netip.Addr.Compare)
	return added, nil
}

// close ends the goroutine and waits for it.
func (r *responder) close() {
	close(r.stop)
	_ = r.wire.Close()
	<-r.done
}
