package bgp

import (
	"context"
	"net/netip"
	"time"
)

// search looks for the router of an interface, with which there is to be no session yet, until it is ended: the router may
// be replaced. Its methods work on nil, which is no search.
type search struct {
	session Session
	cancel  context.CancelFunc
	ended   chan struct{}
	found   chan netip.Addr
	last    netip.Addr
}

// look begins or ends the search as the peer's wish has it.
func (p *peer) look() {
	s := p.session
	wanted := p.want.Mode == Waiting && s.Interface != "" && s.check() == nil
	if p.search != nil && wanted && p.search.session.Interface == s.Interface {
		return
	}
	was := p.search.result()
	p.search.end()
	p.search = nil
	if wanted {
		p.search = beginSearch(s)
	}
	if was.IsValid() && p.status.Load().State != Established {
		now := p.status.Load()
		p.become(now.State, now.Reason, now.Message)
	}
}

// meets takes note of where the router is.
func (p *peer) meets(router netip.Addr) {
	p.search.last = router
	if now := p.status.Load(); now.State != Established {
		p.become(now.State, now.Reason, now.Message)
	}
}

func beginSearch(s Session) *search {
	ctx, cancel := context.WithCancel(context.Background())
	w := &search{session: s, cancel: cancel, ended: make(chan struct{}), found: make(chan netip.Addr)}
	go w.run(ctx)
	return w
}

// run looks again and again. That there is none goes without saying: the peer's status has the reason why it waits.
func (w *search) run(ctx context.Context) {
	defer close(w.ended)
	for ctx.Err() == nil {
		once, done := context.WithTimeout(ctx, w.session.ConnectTime)
		router, err := findRouter(once, w.session.Interface)
		done()
		if err == nil {
			select {
			case w.found <- router:
			case <-ctx.Done():
			}
		}
		select {
		case <-time.After(w.session.ConnectTime):
		case <-ctx.Done():
		}
	}
}

func (w *search) finds() <-chan netip.Addr {
	if w == nil {
		return nil
	}
	return w.found
}

func (w *search) result() netip.AddrPort {
	if w == nil || !w.last.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(w.last, w.session.Port)
}

// end returns when the search has ended.
func (w *search) end() {
	if w == nil {
		return
	}
	w.cancel()
	<-w.ended
}
