package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// loopbackBuffer keeps little between GoBGP and a router that does not read.
	loopbackBuffer = 128 << 10
	// trafficClass is CS6, network control, as RFC 4594 section 3.1 has it for routing protocols.
	trafficClass = 0xc0
)

// dialRouter connects to the router as its session demands.
func dialRouter(ctx context.Context, s Session, router netip.Addr) (net.Conn, error) {
	d := net.Dialer{
		Timeout: s.ConnectTime, KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error { return prepare(fd, s, router) })
		},
	}
	d.SetMultipathTCP(false)
	if s.SourceAddress.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.SourceAddress, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", netip.AddrPortFrom(router, s.Port).String())
	if err != nil {
		return nil, classifyDial(s, err)
	}
	return conn, nil
}

// dialDaemon connects to a GoBGP server, which closes the connection at once while it is not ready: then it is tried again.
func dialDaemon(ctx context.Context, listen netip.AddrPort, from netip.Addr, key string) (net.Conn, error) {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, func(fd int) error {
				return errors.Join(setMD5(fd, listen.Addr(), key), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, loopbackBuffer))
			})
		},
	}
	d.SetMultipathTCP(false)
	ctx, cancel := context.WithTimeout(ctx, daemonTime)
	defer cancel()
	for {
		conn, err := d.DialContext(ctx, "tcp4", listen.String())
		if err == nil && speaks(conn) {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to the BGP server at %s: %w", listen, errors.Join(err, ctx.Err()))
		case <-time.After(daemonPause):
		}
	}
}

const (
	daemonTime  = 5 * time.Second
	daemonPause = 5 * time.Millisecond
)

// speaks waits for the first byte of the server's OPEN and leaves it unread. Without one, it closes the connection.
func speaks(conn net.Conn) bool {
	n, err := peek(conn, time.Now().Add(daemonTime))
	if err != nil || n <= 0 {
		conn.Close()
		return false
	}
	return true
}

// peek waits until something can be read, or the other end has closed, and returns how many bytes it has seen, at most 1.
func peek(conn net.Conn, deadline time.Time) (n int, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		var errno error
		n, _, errno = unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
		return !errors.Is(errno, unix.EAGAIN)
	})
	return n, errors.Join(err, conn.SetReadDeadline(time.Time{}))
}

// prepare sets a socket's options before it connects.
func prepare(fd int, s Session, router netip.Addr) error {
	errs := []error{
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(s.HoldTime.Milliseconds())),
		setHops(fd, s, router.Is4()),
	}
	if s.SourceInterface != "" {
		errs = append(errs, unix.BindToDevice(fd, s.SourceInterface))
	}
	if s.Password != "" {
		errs = append(errs, setMD5(fd, router, s.Password))
	}
	return errors.Join(errs...)
}

// setHops sets TTL and traffic class of what is sent, and the least TTL of what is taken.
func setHops(fd int, s Session, v4 bool) error {
	ttl, least := s.hops()
	level, hops, class, minimum := unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_TCLASS, unix.IPV6_MINHOPCOUNT
	if v4 {
		level, hops, class, minimum = unix.IPPROTO_IP, unix.IP_TTL, unix.IP_TOS, unix.IP_MINTTL
	}
	errs := []error{unix.SetsockoptInt(fd, level, hops, ttl), unix.SetsockoptInt(fd, level, class, trafficClass)}
	if least > 0 {
		errs = append(errs, unix.SetsockoptInt(fd, level, minimum, least))
	}
	return errors.Join(errs...)
}

// hops returns the TTL to send with and the least one to accept, 0 for any.
func (s Session) hops() (ttl, least int) {
	switch {
	case s.SecurityHops > 0: // RFC 5082
		return 255, 256 - int(s.SecurityHops)
	case s.TTL > 0:
		return int(s.TTL), 0
	case s.PeerASN == s.LocalASN || s.PeerASN == 0 && s.PeerType == Internal:
		return 64, 0
	}
	return 1, 0
}

// setMD5 signs and checks the segments of a connection to or from addr; an empty key ends that.
func setMD5(fd int, addr netip.Addr, key string) error {
	sig := unix.TCPMD5Sig{Keylen: uint16(len(key))}
	copy(sig.Key[:], key)
	if addr.Is4() {
		sig.Addr.Family = unix.AF_INET
		a := addr.As4()
		// struct sockaddr_in after its family: port, address.
		copy(sig.Addr.Data[2:], a[:])
	} else {
		sig.Addr.Family = unix.AF_INET6
		a := addr.As16()
		// struct sockaddr_in6 after its family: port, flow, address.
		copy(sig.Addr.Data[6:], a[:])
	}
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig); err != nil {
		return fmt.Errorf("setting the password of %s: %w", addr, err)
	}
	return nil
}

// setUserTimeout bounds how long the other end may leave something unacknowledged, or its window closed (RFC 5482).
func setUserTimeout(conn net.Conn, d time.Duration) error {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	if e := c.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
		return e
	}
	return err
}

// siblings returns the unicast addresses of the interface that has the given one, without it.
func siblings(local netip.Addr) []netip.Addr {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, ifi := range interfaces {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue
		}
		var others []netip.Addr
		found := false
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			if p.Addr() == local.WithZone("") {
				found = true
				continue
			}
			others = append(others, p.Addr())
		}
		if found {
			return others
		}
	}
	return nil
}
