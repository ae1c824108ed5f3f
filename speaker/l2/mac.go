package l2

import "net"

// MAC is an Ethernet hardware address, comparable.
type MAC [6]byte

// MACOf returns the hardware address of a single station; false if h is not six bytes long, a group or all zero.
func MACOf(h net.HardwareAddr) (MAC, bool) {
	if len(h) != len(MAC{}) {
		return MAC{}, false
	}
	m := MAC(h)
	return m, m.station()
}

// String returns the form 02:00:5e:10:00:01.
func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// station reports whether m can be the hardware address of one sender.
func (m MAC) station() bool { return m[0]&1 == 0 && m != MAC{} }

// MarshalText implements encoding.TextMarshaler, as String does it.
func (m MAC) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It refuses what MACOf refuses.
func (m *MAC) UnmarshalText(text []byte) error {
	h, err := net.ParseMAC(string(text))
	if err != nil {
		return err
	}
	parsed, ok := MACOf(h)
	if !ok {
		return &net.AddrError{Err: "not the hardware address of one Ethernet station", Addr: string(text)}
	}
	*m = parsed
	return nil
}
