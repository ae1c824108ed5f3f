package members

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

var errNoRoute = errors.New("no route")

// fabric is a network in memory that can be cut. Memberlist's own MockNetwork
// cannot, and blocks for ever in a write to a member that has stopped.
type fabric struct {
	mu    sync.Mutex
	ports map[netip.AddrPort]*port
	side  map[netip.AddrPort]int
}

type port struct {
	net     *fabric
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	closed  chan struct{}
	once    sync.Once

	sent, bytes atomic.Int64 // packets, and what they are on Ethernet
	streamed    atomic.Int64 // bytes written to streams
}

// overhead of a packet: the headers of Ethernet, IPv4 and UDP.
const overhead = 14 + 20 + 8

var _ memberlist.NodeAwareTransport = (*port)(nil)

func newFabric() *fabric {
	return &fabric{ports: map[netip.AddrPort]*port{}, side: map[netip.AddrPort]int{}}
}

func (f *fabric) port(addr netip.AddrPort) *port {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &port{
		net: f, addr: addr,
		packets: make(chan *memberlist.Packet, 4096), streams: make(chan net.Conn, 64),
		closed: make(chan struct{}),
	}
	f.ports[addr] = p
	return p
}

// split moves the addresses to a side of their own; nothing passes between two
// sides.
func (f *fabric) split(side int, addrs ...netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range addrs {
		f.side[a] = side
	}
}

func (f *fabric) route(from netip.AddrPort, to string) *port {
	addr, err := netip.ParseAddrPort(to)
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.side[from] != f.side[addr] {
		return nil
	}
	return f.ports[addr]
}

func (p *port) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return p.addr.Addr().AsSlice(), int(p.addr.Port()), nil
}

func (p *port) WriteTo(b []byte, addr string) (time.Time, error) {
	return p.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (p *port) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	now := time.Now()
	p.sent.Add(1)
	p.bytes.Add(int64(len(b) + overhead))
	if to := p.net.route(p.addr, a.Addr); to != nil {
		select {
		case to.packets <- &memberlist.Packet{Buf: bytes.Clone(b), From: net.UDPAddrFromAddrPort(p.addr), Timestamp: now}:
		default:
		}
	}
	return now, nil
}

func (p *port) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return p.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (p *port) DialAddressTimeout(a memberlist.Address, _ time.Duration) (net.Conn, error) {
	to := p.net.route(p.addr, a.Addr)
	if to == nil {
		return nil, errNoRoute
	}
	near, far := net.Pipe()
	select {
	case <-to.closed:
	case to.streams <- counted{far, &to.streamed}:
		return counted{near, &p.streamed}, nil
	}
	return nil, errNoRoute
}

// counted is a stream whose bytes are counted as they are written.
type counted struct {
	net.Conn
	bytes *atomic.Int64
}

// Write implements net.Conn.
func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.bytes.Add(int64(n))
	return n, err
}

func (p *port) PacketCh() <-chan *memberlist.Packet { return p.packets }

func (p *port) StreamCh() <-chan net.Conn { return p.streams }

func (p *port) Shutdown() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}
