package liveness

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultPort is where requests are answered, UDP, unless told otherwise.
const DefaultPort = 7948

// Options describe one node's detector.
type Options struct {
	// Name of the node; unique, 1 to 253 bytes.
	Name string
	// Bind is the node's own IPv4 or IPv6 address, without a zone: requests are answered there, and own requests leave
	// from it. Port 0 means DefaultPort.
	Bind netip.AddrPort
	// Knock is a TCP port on which the processes of all targets listen, at the address where they answer; 0 means none.
	// Where replies stay away, a kernel that refuses a connection to it lives: of ports unreachable it tells about one a
	// second only.
	Knock uint16
	// Key is the secret that all speakers share, of any length.
	Key []byte
	// Profile sets all timings; empty means ProfileDefault.
	Profile Profile
	Log     logr.Logger
	// Registerer takes the metrics; nil means none are exported.
	Registerer prometheus.Registerer
}

func (o *Options) complete() error {
	if o.Name == "" || len(o.Name) > maxName {
		return fmt.Errorf("the name must have 1 to %d bytes, not %d", maxName, len(o.Name))
	}
	a := o.Bind.Addr().Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return errors.New("the bind address must be the node's own, without a zone")
	}
	o.Bind = withPort(netip.AddrPortFrom(a, o.Bind.Port()))
	return nil
}

func withPort(a netip.AddrPort) netip.AddrPort {
	if a.Port() != 0 {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), DefaultPort)
}
