package members

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/go-logr/logr"
	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultPort is where members listen, TCP and UDP, unless told otherwise.
	DefaultPort = 7947
	// DefaultJoinWindow is how long Settled waits for absent peers.
	DefaultJoinWindow = 3 * time.Second
)

// Options describe one member.
type Options struct {
	// Name of the node; unique in the group, 253 bytes at most.
	Name string
	// Bind is the node's own IPv4 or IPv6 address, at which the others reach
	// it. Port 0 means DefaultPort.
	Bind netip.AddrPort
	// Version of the program, told to the others; 64 bytes of it travel.
	Version string
	// Key is the secret that all members share, of any length; the AES-256
	// key is its SHA-256.
	Key []byte
	// Profile sets all timings; empty means ProfileDefault.
	Profile Profile
	// JoinWindow is the longest that Settled waits; 0 means DefaultJoinWindow.
	JoinWindow time.Duration
	// Log gets joins, departures and the library's own reports.
	Log logr.Logger
	// Registerer takes the metrics; nil means none are exported.
	Registerer prometheus.Registerer

	// transport replaces the sockets in tests.
	transport memberlist.NodeAwareTransport
}

func (o *Options) complete() error {
	if o.Name == "" || len(o.Name) > maxName {
		return fmt.Errorf("the name must have 1 to %d bytes, not %d", maxName, len(o.Name))
	}
	if a := o.Bind.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return errors.New("the bind address must be the node's own, without a zone")
	}
	if o.JoinWindow == 0 {
		o.JoinWindow = DefaultJoinWindow
	}
	o.Bind = withPort(netip.AddrPortFrom(o.Bind.Addr().Unmap(), o.Bind.Port()))
	return nil
}

func withPort(a netip.AddrPort) netip.AddrPort {
	if a.Port() != 0 {
		return a
	}
	return netip.AddrPortFrom(a.Addr(), DefaultPort)
}

// config is memberlist's view of the options.
func (o *Options) config(t timing) *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	c.Name = o.Name
	c.BindAddr, c.BindPort = o.Bind.Addr().String(), int(o.Bind.Port())
	c.AdvertiseAddr, c.AdvertisePort = c.BindAddr, c.BindPort
	c.ProbeInterval, c.ProbeTimeout = t.probeInterval, t.probeTimeout
	c.SuspicionMult, c.SuspicionMaxTimeoutMult = t.suspicionMult, t.suspicionMaxMult
	c.GossipInterval, c.PushPullInterval = t.gossipInterval, t.pushPull
	c.TCPTimeout = t.stream
	// The dead are looked for by the joiner; gossip to them costs what their kernels may say to the liveness probes.
	c.GossipToTheDeadTime = time.Second
	// A node that got another address takes its name back once it was dead.
	c.DeadNodeReclaimTime = time.Second
	// Packets are small, and the compressor costs 64 kB of memory for each.
	c.EnableCompression = false
	return c
}
