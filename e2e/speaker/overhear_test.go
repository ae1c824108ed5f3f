//go:build soak

package speaker

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

// packet is a BFD packet on the router's cable, in or out, at the kernel's time.
type packet struct {
	bfd.Packet
	at   time.Time
	from netip.Addr
}

// overhear listens in at the router's eth0 until the test is over.
func (g *gateway) overhear() <-chan packet {
	g.t.Helper()
	all := uint16(unix.ETH_P_ALL)<<8 | unix.ETH_P_ALL>>8 // in the order of the network
	fd := -1
	g.Must(g.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: g.Link("eth0").Attrs().Index})
	}))
	heard, stop, ended := make(chan packet, 1<<16), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if p, ok := hear(fd); ok {
				heard <- p
			}
		}
	}()
	g.t.Cleanup(func() { close(stop); <-ended; _ = unix.Close(fd) })
	return heard
}

// hear returns the next packet, false if it is none of BFD's or none comes for a while.
func hear(fd int) (p packet, ok bool) {
	var b, control [256]byte
	n, cn, _, _, err := unix.Recvmsg(fd, b[:], control[:], 0)
	if err != nil || n < 28 || b[0] != 0x45 || b[9] != unix.IPPROTO_UDP || binary.BigEndian.Uint16(b[22:]) != bfd.PortSingleHop {
		return p, false
	}
	if _, err := p.Parse(b[28:n]); err != nil {
		return p, false
	}
	p.from, p.at = netip.AddrFrom4([4]byte(b[12:16])), time.Now()
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err == nil && len(messages) > 0 && len(messages[0].Data) >= 16 {
		d := messages[0].Data
		p.at = time.Unix(int64(binary.NativeEndian.Uint64(d)), int64(binary.NativeEndian.Uint64(d[8:])))
	}
	return p, true
}
