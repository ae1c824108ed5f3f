//go:build soak

package speaker

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/router"
	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// ear is a router that does nothing but note when it was told of which IPv4 prefix.
type ear struct {
	*nettest.Host
	t  testing.TB
	mu sync.Mutex
	// told is when a prefix was heard of first since forget, latest when the newest was.
	told   map[netip.Prefix]time.Time
	latest time.Time
}

func newEar(t testing.TB, l nettest.LAN, name, cidr string) *ear {
	t.Helper()
	e := &ear{Host: nettest.NewHost(t), t: t, told: map[netip.Prefix]time.Time{}}
	l.Join(e.Host, name, cidr)
	var door net.Listener
	e.Must(e.Do(func() (err error) {
		door, err = net.Listen("tcp4", ":179")
		return err
	}))
	t.Cleanup(func() { _ = door.Close() })
	open := wire.Open{ASN: 64513, HoldTime: 90, RouterID: netip.MustParseAddr("192.0.2.2"), Families: wire.IPv4, FourOctetASN: true}
	go router.Ear{Open: open, Told: e.note}.Serve(door)
	return e
}

// note takes down the prefixes of an UPDATE, RFC 4271 section 4.3.
func (e *ear) note(body []byte) {
	at := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for range 2 { // what is withdrawn, and the attributes
		if len(body) < 2 {
			return
		}
		n := 2 + int(binary.BigEndian.Uint16(body))
		body = body[min(n, len(body)):]
	}
	for len(body) > 0 {
		bits := int(body[0])
		n := (bits + 7) / 8
		var a [4]byte
		if n > len(a) || len(body) <= n {
			return
		}
		copy(a[:], body[1:1+n])
		p := netip.PrefixFrom(netip.AddrFrom4(a), bits)
		if _, known := e.told[p]; !known {
			e.told[p], e.latest = at, at
		}
		body = body[1+n:]
	}
}

func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = map[netip.Prefix]time.Time{}
}

// of waits for a prefix and returns when it was heard of.
func (e *ear) of(p netip.Prefix) (at time.Time) {
	e.t.Helper()
	eventually(e.t, p.String()+" is told", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		var known bool
		if at, known = e.told[p]; !known {
			return fmt.Errorf("it is among none of %d", len(e.told))
		}
		return nil
	})
	return at
}

// knows waits until n prefixes have been heard of, and returns when the last was.
func (e *ear) knows(n int) (at time.Time) {
	e.t.Helper()
	eventually(e.t, "all are told", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if at = e.latest; len(e.told) != n {
			return fmt.Errorf("%d of %d are", len(e.told), n)
		}
		return nil
	})
	return at
}
