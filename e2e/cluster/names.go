//go:build linux

package cluster

import (
	"fmt"
	"net/netip"
	"strconv"
)

// The last byte of the hosts' addresses on the LAN. 200 to 254 stay free for address pools.
const (
	gatewayByte    = 1
	controlByte    = 10
	nodeByteBase   = 10
	clientByteBase = 100
	routerByteBase = 180
)

const (
	podCIDRs     = "10.244.0.0/16,fd00:10:244::/48"
	serviceCIDRs = "10.96.0.0/12,fd00:10:96::/112"
	apiService   = "10.96.0.1"
	maxIndex     = 64
)

// plan is the arithmetic of a lab's names and addresses. The index keeps the addresses of labs side by side apart.
type plan struct {
	name  string
	index int
}

// prefix starts the name of everything that the lab leaves on the machine.
func (p plan) prefix() string { return "bf-" + p.name }

func (p plan) netns(host string) string { return p.prefix() + "-" + host }

func (p plan) lan4() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 30, byte(p.index), 0}), 24)
}

// lan6 and addr6 write the decimal digits of the IPv4 bytes into the IPv6 address, for people who read packet dumps.
func (p plan) lan6() netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:172:30:%d::/64", p.index))
}

func (p plan) addr4(last int) netip.Addr {
	return netip.AddrFrom4([4]byte{172, 30, byte(p.index), byte(last)})
}

func (p plan) addr6(last int) netip.Addr {
	return netip.MustParseAddr(fmt.Sprintf("fd00:172:30:%d::%d", p.index, last))
}

// rootLink is the network between the machine's root namespace (.1) and the control plane (.2): a range that RFC 2544
// keeps for tests, so that it meets no route of the machine.
func (p plan) rootLink() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, byte(p.index), 0}), 30)
}

func (p plan) rootAddr() netip.Addr { return p.rootLink().Addr().Next() }
func (p plan) apiAddr() netip.Addr  { return p.rootAddr().Next() }

func podCIDR4(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 244, byte(n), 0}), 24)
}

func podCIDR6(n int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("fd00:10:244:%d::/64", n))
}

func nodeName(n int) string   { return "n" + strconv.Itoa(n) }
func clientName(i int) string { return "c" + strconv.Itoa(i) }
func routerName(i int) string { return "r" + strconv.Itoa(i) }
func portName(host string) string {
	return "p-" + host
}

// preferredIndex gives the default lab the addresses that its documentation names, and any other lab the
// same ones every time as long as no other lab has them.
func preferredIndex(name string) int {
	if name == DefaultName {
		return 0
	}
	sum := 0
	for _, b := range []byte(name) {
		sum = (sum*31 + int(b)) % (maxIndex - 1)
	}
	return 1 + sum
}
