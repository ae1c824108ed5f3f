package integration

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/arp"
)

// askEvery is how often a witness asks.
const askEvery = 20 * time.Millisecond

// witness asks for an IPv4 address all the time, and writes down which hardware addresses it is told, by question or
// unasked, in the order in which they come.
type witness struct {
	h    *host
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	heard []string
	err   error
}

func (h *host) watch(a netip.Addr) *witness {
	h.t.Helper()
	w := &witness{h: h, stop: make(chan struct{})}
	var c *arp.Client
	must(h.t, h.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err == nil {
			c, err = arp.Dial(i)
		}
		return err
	}))
	w.done.Go(func() { w.ask(c, a) })
	w.done.Go(func() { w.listen(c, a) })
	h.t.Cleanup(w.end)
	return w
}

// witness watches an address that is answered, and waits until it is told who does.
func (h *host) witness(a netip.Addr) *witness {
	h.t.Helper()
	w := h.watch(a)
	eventually(h.t, a.String()+" is answered", w.told)
	return w
}

func (w *witness) ask(c *arp.Client, a netip.Addr) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			_ = c.Close()
			return
		case <-tick.C:
			_ = c.Request(a) // a link that is down is the test's doing
		}
	}
}

func (w *witness) listen(c *arp.Client, a netip.Addr) {
	for {
		_ = c.SetReadDeadline(time.Now().Add(askEvery))
		p, _, err := c.Read()
		select {
		case <-w.stop:
			return
		default:
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.err = err
			return
		}
		if err == nil && p.SenderIP == a {
			w.mu.Lock()
			w.heard = append(w.heard, p.SenderHardwareAddr.String())
			w.mu.Unlock()
		}
	}
}

// told tells whether it has heard anything.
func (w *witness) told() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.heard) > 0
}

// end stops it; further calls do nothing.
func (w *witness) end() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	w.done.Wait()
}

// only ends the witness: it must have heard this node and no other.
func (w *witness) only(n *node) {
	w.h.t.Helper()
	w.end()
	others := 0
	for _, mac := range w.heard {
		if mac != n.mac() {
			others++
		}
	}
	if w.err != nil || others > 0 || len(w.heard) == 0 {
		w.h.t.Errorf("of %d answers %d name another node than %s (error %v)", len(w.heard), others, n.Name, w.err)
	}
}

// moved ends the witness: it must have heard the first node, then the second, and from then on nobody else.
func (w *witness) moved(from, to *node) {
	w.h.t.Helper()
	w.end()
	old, late, news := 0, 0, 0
	for _, mac := range w.heard {
		switch {
		case mac == to.mac():
			news++
		case news > 0:
			late++
		case mac == from.mac():
			old++
		}
	}
	if w.err != nil || late > 0 || old == 0 || news == 0 {
		w.h.t.Errorf("%d answers name %s, then %d %s and %d others (error %v)", old, from.Name, news, to.Name, late, w.err)
	}
}

// turns ends the witness and returns whom it has heard, one after the other.
func (w *witness) turns() []string {
	w.end()
	if w.err != nil {
		w.h.t.Error(w.err)
	}
	return slices.Compact(slices.Clone(w.heard))
}
