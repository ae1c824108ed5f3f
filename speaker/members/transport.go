package members

import (
	"context"
	"log"
	"net"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// outgoing is a transport whose streams end with a context. Memberlist's own
// would hold up a stop until a dead peer's timeout.
type outgoing struct {
	memberlist.NodeAwareTransport
	dial func(a memberlist.Address, timeout time.Duration) (net.Conn, error)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (o *outgoing) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return o.dial(a, timeout)
}

// DialTimeout implements memberlist.Transport.
func (o *outgoing) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return o.dial(memberlist.Address{Addr: addr}, timeout)
}

// listen opens the sockets on the address; live ends the outgoing streams.
func listen(live context.Context, bind netip.AddrPort, logger *log.Logger) (memberlist.NodeAwareTransport, error) {
	sockets, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{
		BindAddrs: []string{bind.Addr().String()},
		BindPort:  int(bind.Port()),
		Logger:    logger,
	})
	if err != nil {
		return nil, err
	}
	// Streams come from the member's own address, as packets do: firewalls
	// on multi-homed nodes know only that one.
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(bind.Addr(), 0))}
	return &outgoing{sockets, func(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(live, timeout)
		defer cancel()
		conn, err := dialer.DialContext(ctx, "tcp", a.Addr)
		if err != nil {
			return nil, err
		}
		return endWith(live, conn), nil
	}}, nil
}

// endingConn is closed when its context ends.
type endingConn struct {
	net.Conn
	stop func() bool
}

func endWith(ctx context.Context, conn net.Conn) net.Conn {
	return &endingConn{conn, context.AfterFunc(ctx, func() { _ = conn.Close() })}
}

// Close implements net.Conn.
func (c *endingConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
