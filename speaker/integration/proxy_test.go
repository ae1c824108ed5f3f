package integration

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// proxy brings the API server's own address into namespaces. Closing it is how the API server goes away for them.
type proxy struct {
	t         testing.TB
	to        string
	mu        sync.Mutex
	hosts     []*nettest.Host
	listeners []net.Listener
	conns     map[net.Conn]bool
	work      sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	p := &proxy{t: t, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(p.cut)
	return p
}

// open lets h reach the API server.
func (p *proxy) open(h *nettest.Host) {
	p.t.Helper()
	p.hosts = append(p.hosts, h)
	p.listen(h)
}

func (p *proxy) listen(h *nettest.Host) {
	p.t.Helper()
	var l net.Listener
	must(p.t, h.Do(func() (err error) {
		l, err = net.Listen("tcp", p.to)
		return err
	}))
	p.listeners = append(p.listeners, l)
	p.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.serve(c) })
		}
	})
}

func (p *proxy) serve(c net.Conn) {
	defer p.forget(c)
	up, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.forget(up)
	if !p.remember(c, up) {
		return
	}
	p.work.Go(func() {
		_, _ = io.Copy(up, c)
		p.forget(up)
	})
	_, _ = io.Copy(c, up)
}

// remember returns false when the proxy has been cut meanwhile.
func (p *proxy) remember(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	for _, c := range conns {
		p.conns[c] = true
	}
	return true
}

func (p *proxy) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// cut ends all connections, and none can be made until mend.
func (p *proxy) cut() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
	p.listeners = nil
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.work.Wait()
}

func (p *proxy) mend() {
	p.t.Helper()
	p.conns = map[net.Conn]bool{}
	for _, h := range p.hosts {
		p.listen(h)
	}
}
