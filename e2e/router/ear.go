//go:build linux

package router

import (
	"bufio"
	"io"
	"net"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// Ear is a router that says no more of BGP than it takes to be told of routes.
type Ear struct {
	Open wire.Open
	Told func(update []byte) // called with the body of each UPDATE, for several sessions at once
}

// Serve takes sessions until the listener is closed.
func (e Ear) Serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go e.Listen(c)
	}
}

// Listen holds a session until the other side ends it.
func (e Ear) Listen(c net.Conn) {
	defer c.Close()
	if _, err := c.Write(append(e.Open.Append(nil), wire.Keepalive()...)); err != nil {
		return
	}
	in := bufio.NewReader(c)
	for {
		var h [wire.HeaderLen]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return
		}
		kind, length, err := wire.ParseHeader(h)
		if err != nil {
			return
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(in, body); err != nil {
			return
		}
		switch kind {
		case wire.TypeUpdate:
			e.Told(body)
		case wire.TypeKeepalive:
			if _, err := c.Write(wire.Keepalive()); err != nil {
				return
			}
		}
	}
}
