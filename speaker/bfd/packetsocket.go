package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	udpHeaderLen  = 8
)

var errNoNeighbour = errors.New("the peer's link-layer address is not known")

// echoSocket sends and receives echo packets on one interface. The IP layer would throw them away as they come back, for
// they have our own address as their source: a packet socket sees them before.
type echoSocket struct {
	conn       *packet.Conn
	ifIndex    int
	ipv6       bool
	netlink    *netlink.Handle
	buffer     []byte // of Write
	input      []byte // of Read
	neighbours map[netip.Addr]net.HardwareAddr
	refreshed  time.Time
}

// Echo opens a socket for echo packets. It needs CAP_NET_RAW.
func (k *kernel) Echo(ifIndex int, ipv6 bool) (EchoConn, error) {
	ifi, err := net.InterfaceByIndex(ifIndex)
	if err != nil {
		return nil, fmt.Errorf("finding interface %d: %w", ifIndex, err)
	}
	filter, err := bpf.Assemble(echoFilter(ipv6))
	if err != nil {
		return nil, fmt.Errorf("assembling the echo filter: %w", err)
	}
	protocol := unix.ETH_P_IP
	if ipv6 {
		protocol = unix.ETH_P_IPV6
	}
	conn, err := packet.Listen(ifi, packet.Datagram, protocol, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket on %s: %w", ifi.Name, err)
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening netlink: %w", err), conn.Close())
	}
	return &echoSocket{conn: conn, ifIndex: ifIndex, ipv6: ipv6, netlink: handle, input: make([]byte, 256)}, nil
}

// echoFilter lets in unfragmented UDP packets to the echo port without options.
func echoFilter(ipv6 bool) []bpf.Instruction {
	header, next := uint32(ipv4HeaderLen), uint32(9)
	first := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x45, SkipTrue: 6},
		bpf.LoadAbsolute{Off: 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipTrue: 4},
	}
	if ipv6 {
		header, next, first = ipv6HeaderLen, 6, nil
	}
	return append(first,
		bpf.LoadAbsolute{Off: next, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: header + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: PortEcho, SkipTrue: 1},
		bpf.RetConstant{Val: 256},
		bpf.RetConstant{Val: 0},
	)
}

// Read waits for an echo packet and returns its payload.
func (e *echoSocket) Read(b []byte) (int, Meta, error) {
	for {
		n, _, err := e.conn.ReadFrom(e.input)
		if err != nil {
			return 0, Meta{}, err
		}
		p := e.input[:n]
		m := Meta{IfIndex: e.ifIndex}
		switch {
		case e.ipv6 && n >= ipv6HeaderLen+udpHeaderLen:
			m.TTL, m.Peer, m.Local = p[7], netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
			return copy(b, p[ipv6HeaderLen+udpHeaderLen:]), m, nil
		case !e.ipv6 && n >= ipv4HeaderLen+udpHeaderLen:
			m.TTL, m.Peer, m.Local = p[8], netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
			return copy(b, p[ipv4HeaderLen+udpHeaderLen:]), m, nil
		}
	}
}

// Write sends a payload to local by way of peer.
func (e *echoSocket) Write(b []byte, local, peer netip.Addr) error {
	mac, err := e.neighbour(peer)
	if err != nil {
		return err
	}
	e.buffer = appendEcho(e.buffer[:0], b, local)
	_, err = e.conn.WriteTo(e.buffer, &packet.Addr{HardwareAddr: mac})
	return err
}

// Close ends the socket and Read.
func (e *echoSocket) Close() error {
	e.netlink.Close()
	return e.conn.Close()
}

// neighbour looks the peer up in the kernel's table, which control packets keep filled. It is read once a second at most.
func (e *echoSocket) neighbour(peer netip.Addr) (net.HardwareAddr, error) {
	if time.Since(e.refreshed) > time.Second {
		family := unix.AF_INET
		if e.ipv6 {
			family = unix.AF_INET6
		}
		list, err := e.netlink.NeighList(e.ifIndex, family)
		if err != nil {
			return nil, fmt.Errorf("reading the neighbours: %w", err)
		}
		e.refreshed, e.neighbours = time.Now(), map[netip.Addr]net.HardwareAddr{}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) > 0 {
				e.neighbours[a.Unmap()] = n.HardwareAddr
			}
		}
	}
	if mac := e.neighbours[peer]; mac != nil {
		return mac, nil
	}
	return nil, errNoNeighbour
}

// appendEcho appends an IP packet from and to the same address, RFC 5881 §4, with TTL 255, §5.
func appendEcho(b, payload []byte, a netip.Addr) []byte {
	length := udpHeaderLen + len(payload)
	start := len(b)
	var pseudo uint32
	if a.Is4() {
		b = append(b, 0x45, dscpCS6)
		b = binary.BigEndian.AppendUint16(b, uint16(ipv4HeaderLen+length))
		b = append(b, 0, 0, 0x40, 0, 255, unix.IPPROTO_UDP, 0, 0) // not to be fragmented
		b = append(append(b, a.AsSlice()...), a.AsSlice()...)
		binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:])))
		pseudo = sum(0, b[start+12:])
	} else {
		b = binary.BigEndian.AppendUint32(b, 6<<28|dscpCS6<<20)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, unix.IPPROTO_UDP, 255)
		b = append(append(b, a.AsSlice()...), a.AsSlice()...)
		pseudo = sum(0, b[start+8:])
	}
	udp := len(b)
	b = binary.BigEndian.AppendUint16(b, firstPort)
	b = binary.BigEndian.AppendUint16(b, PortEcho)
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(append(b, 0, 0), payload...)
	check := ^fold(sum(pseudo+unix.IPPROTO_UDP+uint32(length), b[udp:]))
	if check == 0 {
		check = 0xffff // zero would say that there is none
	}
	binary.BigEndian.PutUint16(b[udp+6:], check)
	return b
}

// sum adds 16-bit words for the Internet checksum.
func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
