package bfd

import "net/netip"

// Network opens sockets. All its methods are called from the goroutine of Run.
type Network interface {
	// Listen opens the one receiving socket of a scope.
	Listen(Scope) (Receiver, error)
	// Dial opens the sending socket of a path, which has neither zones nor mapped addresses. It sends with TTL 255 from a port of its
	// own in 49152–65535.
	Dial(Path) (Sender, error)
	// Echo opens the one socket for echo packets of a family on an interface.
	Echo(ifIndex int, ipv6 bool) (EchoConn, error)
}

// Meta is what comes with a packet.
type Meta struct {
	// Peer sent it, to Local; neither has a zone.
	Peer, Local netip.Addr
	// IfIndex is the interface that it came in through.
	IfIndex int
	// TTL is the TTL or hop limit that it arrived with.
	TTL uint8
}

// Receiver is a receiving socket. Read, which has a goroutine of its own, waits for a packet and cuts off what b has no room for; Close ends it.
type Receiver interface {
	Read(b []byte) (int, Meta, error)
	Close() error
}

// Sender is the sending socket of one session.
type Sender interface {
	Write(b []byte) error
	// IfIndex is the interface that the session is bound to, 0 if none.
	IfIndex() int
	Close() error
}

// EchoConn sends and receives the payload of echo packets, RFC 5881 §4: they go to our own address by way of the peer.
type EchoConn interface {
	Receiver
	// Write sends b to local by way of the peer.
	Write(b []byte, local, peer netip.Addr) error
}
