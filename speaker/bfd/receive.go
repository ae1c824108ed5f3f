package bfd

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// udpReceiver is the receiving socket of one scope.
type udpReceiver struct {
	kernel *kernel
	scope  Scope
	conn   *net.UDPConn
	oob    [128]byte
}

// Read waits for a packet. It allocates nothing.
func (r *udpReceiver) Read(b []byte) (int, Meta, error) {
	n, oobn, _, from, err := r.conn.ReadMsgUDPAddrPort(b, r.oob[:])
	if err != nil {
		return 0, Meta{}, err
	}
	m := Meta{Peer: from.Addr().Unmap().WithZone("")}
	m.parse(r.oob[:oobn])
	return n, m, nil
}

// Close ends the socket and Read.
func (r *udpReceiver) Close() error {
	delete(r.kernel.receivers, r)
	return r.conn.Close()
}

// parse reads the control messages that came with a packet.
func (m *Meta) parse(oob []byte) {
	for len(oob) >= unix.CmsgLen(0) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return
		}
		m.control(header.Level, header.Type, data)
		oob = rest
	}
}

func (m *Meta) control(level, kind int32, data []byte) {
	switch {
	case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		m.IfIndex = int(binary.NativeEndian.Uint32(data))
		m.Local = netip.AddrFrom4([4]byte(data[8:12]))
	case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		m.Local = netip.AddrFrom16([16]byte(data[:16]))
		m.IfIndex = int(binary.NativeEndian.Uint32(data[16:]))
	case level == unix.IPPROTO_IP && kind == unix.IP_TTL && len(data) >= 4,
		level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT && len(data) >= 4:
		m.TTL = uint8(binary.NativeEndian.Uint32(data))
	}
}
