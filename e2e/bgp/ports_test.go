//go:build linux

package bgp

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// opened lists the TCP sockets of this namespace that listen on addresses other than loopback ones, as the kernel writes them:
// the address, in the machine's byte order, and the port.
func opened(t *testing.T) (all []string) {
	t.Helper()
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		const listening = "0A"
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[3] != listening {
				continue
			}
			addr, _, _ := strings.Cut(f[1], ":")
			if table == "tcp" && strings.HasSuffix(addr, "7F") || addr == "00000000000000000000000001000000" {
				continue
			}
			all = append(all, f[1])
		}
	}
	return all
}

// TestNoPortIsOpen: another BGP daemon of the node may have port 179. Only a peer that is to dial this node gets a port, at the
// address that it is to dial, for as long as there is such a peer.
func TestNoPortIsOpen(t *testing.T) {
	listens := func(what string, want ...string) {
		t.Helper()
		eventually(t, what, func() error {
			if all := opened(t); !slices.Equal(all, want) {
				return fmt.Errorf("listeners are %v, want %v", all, want)
			}
			return nil
		})
	}
	listens("what another test has left is closed")
	a, b := newCable(t), newCable(t)
	a.frr(frrBasic)
	b.frr(frrBasic)
	e := newEngine(t)
	d := only(a.peer(routes("203.0.113.7/32")))
	e.established(d)
	if all := opened(t); len(all) > 0 {
		t.Errorf("with a session that was dialled, listeners are %v", all)
	}
	p := b.peer(nil)
	p.Session.Listen, p.Session.SourceAddress = true, b.node4
	d.Peers["b"] = p
	e.apply(d)
	ip4 := b.node4.As4()
	want := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip4[3], ip4[2], ip4[1], ip4[0], 179)
	listens("the one port is open", want)
	delete(d.Peers, "b")
	e.apply(d)
	listens("it is closed with the peer")
}
