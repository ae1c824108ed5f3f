package bfd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	firstPort = 49152 // RFC 5881 §4
	lastPort  = 65535
	// portTries is how many ports that others use are passed over before a session gives up for now.
	portTries = 64

	dscpCS6  = 48 << 2 // network control
	priority = 6       // the highest that needs no capability
)

// kernel is the Network of the operating system.
type kernel struct {
	receivers map[*udpReceiver]bool
	holders   map[Scope]*holder
}

// Kernel returns the sockets of the operating system, which engines use unless told otherwise. They are opened in the network
// namespace of the calling thread.
func Kernel() Network { return newKernel() }

func newKernel() *kernel {
	return &kernel{receivers: map[*udpReceiver]bool{}, holders: map[Scope]*holder{}}
}

var (
	_ Network  = (*kernel)(nil)
	_ Receiver = (*udpReceiver)(nil)
	_ Sender   = (*udpSender)(nil)
)

// options sets socket options and stops at the first that fails.
type options struct {
	fd  int
	err error
}

func (o *options) set(level, option, value int) {
	if o.err == nil {
		o.err = os.NewSyscallError("setsockopt", unix.SetsockoptInt(o.fd, level, option, value))
	}
}

func (o *options) bindTo(device string) {
	if o.err == nil && device != "" {
		o.err = os.NewSyscallError("setsockopt", unix.BindToDevice(o.fd, device))
	}
}

// open makes a UDP socket with options that are set before it is bound.
func open(ipv6 bool, local netip.AddrPort, set func(*options)) (*net.UDPConn, error) {
	network := "udp4"
	if ipv6 {
		network = "udp6"
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, set)
	}}
	conn, err := config.ListenPacket(context.Background(), network, local.String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

func control(c syscall.RawConn, set func(*options)) error {
	o := options{}
	if err := c.Control(func(fd uintptr) {
		o.fd = int(fd)
		set(&o)
	}); err != nil {
		return err
	}
	return o.err
}

// unspecified is the address that stands for all of a family.
func unspecified(ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// Listen opens a receiving socket. The socket of a VRF and the one of none share a port only if both allow it, which they do
// just while one is opened: any other program's socket makes Listen fail.
func (k *kernel) Listen(s Scope) (Receiver, error) {
	var others []*udpReceiver
	for r := range k.receivers {
		if r.scope.IPv6 == s.IPv6 && r.scope.MultiHop == s.MultiHop {
			others = append(others, r)
		}
	}
	share(others, 1)
	defer share(others, 0)
	conn, err := open(s.IPv6, netip.AddrPortFrom(unspecified(s.IPv6), s.Port()), func(o *options) {
		o.bindTo(s.VRF)
		if len(others) > 0 {
			o.set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		}
		if s.IPv6 {
			o.set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
			o.set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
			return
		}
		o.set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		o.set(unix.IPPROTO_IP, unix.IP_RECVTTL, 1)
	})
	if errors.Is(err, unix.EADDRINUSE) {
		if k.holders[s] == nil {
			k.holders[s] = &holder{}
		}
		return nil, fmt.Errorf("UDP port %d is in use by %s: %w", s.Port(), k.holders[s].of(s), err)
	}
	if err != nil {
		return nil, fmt.Errorf("opening UDP port %d: %w", s.Port(), err)
	}
	r := &udpReceiver{kernel: k, scope: s, conn: conn}
	share([]*udpReceiver{r}, 0)
	k.receivers[r] = true
	return r, nil
}

// share lets sockets share their port, or not.
func share(receivers []*udpReceiver, yes int) {
	for _, r := range receivers {
		if raw, err := r.conn.SyscallConn(); err == nil {
			_ = control(raw, func(o *options) { o.set(unix.SOL_SOCKET, unix.SO_REUSEADDR, yes) })
		}
	}
}

// Dial opens a sending socket on a random port that is free.
func (k *kernel) Dial(p Path) (Sender, error) {
	device, index := p.VRF, 0
	if p.Interface != "" {
		ifi, err := net.InterfaceByName(p.Interface)
		if err != nil {
			return nil, fmt.Errorf("finding interface %s: %w", p.Interface, err)
		}
		device, index = p.Interface, ifi.Index
	}
	local := p.Local
	if !local.IsValid() {
		local = unspecified(p.Peer.Is6())
	}
	if local.IsLinkLocalUnicast() && local.Is6() {
		local = local.WithZone(strconv.Itoa(index))
	}
	conn, err := openFreePort(local, device)
	if err != nil {
		return nil, fmt.Errorf("opening a socket to %s: %w", p.Peer, err)
	}
	return &udpSender{conn: conn, ifIndex: index, to: netip.AddrPortFrom(p.Peer, p.scope().Port())}, nil
}

func openFreePort(local netip.Addr, device string) (*net.UDPConn, error) {
	var err error
	for range portTries {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort+1))
		var conn *net.UDPConn
		conn, err = open(local.Is6(), netip.AddrPortFrom(local, port), func(o *options) { sendingOptions(o, local.Is6(), device) })
		if !errors.Is(err, unix.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, err
}

func sendingOptions(o *options, ipv6 bool, device string) {
	o.bindTo(device)
	o.set(unix.SOL_SOCKET, unix.SO_PRIORITY, priority)
	o.deaf()
	if ipv6 {
		o.set(unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255)
		o.set(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscpCS6)
		return
	}
	o.set(unix.IPPROTO_IP, unix.IP_TTL, 255)
	o.set(unix.IPPROTO_IP, unix.IP_TOS, dscpCS6)
}

// deaf keeps the socket's buffer empty: a filter lets nothing in.
func (o *options) deaf() {
	if o.err != nil {
		return
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	o.err = os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(o.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: 1, Filter: &nothing[0]}))
}

// udpSender is the sending socket of one session.
type udpSender struct {
	conn    *net.UDPConn
	to      netip.AddrPort
	ifIndex int
}

// Write sends a packet. A full queue or a peer without a listener is no failure of the socket, and the next packet is due soon.
func (s *udpSender) Write(b []byte) error {
	_, err := s.conn.WriteToUDPAddrPort(b, s.to)
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ECONNREFUSED) {
		return nil
	}
	return err
}

// IfIndex is the interface that the socket is bound to, 0 if none.
func (s *udpSender) IfIndex() int { return s.ifIndex }

// Close ends the socket.
func (s *udpSender) Close() error { return s.conn.Close() }
