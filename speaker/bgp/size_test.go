package bgp

import (
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// ear is a router that takes down the prefixes it has been told of, and how long the longest message was. It takes messages
// of any length.
type ear struct {
	mu      sync.Mutex
	known   map[netip.Prefix]bool
	longest int
	total   int    // messages
	word    string // the last of a session
}

func (e *ear) talk(c *fakeConn) {
	e.mu.Lock()
	e.known, e.word = map[netip.Prefix]bool{}, ""
	e.mu.Unlock()
	if c.greet(fakeOpen()) != nil {
		return
	}
	e.listen(c)
}

func (e *ear) listen(c *fakeConn) {
	if e.known == nil {
		e.known = map[netip.Prefix]bool{}
	}
	for {
		h := make([]byte, wire.HeaderLen)
		if _, err := io.ReadFull(c.reader, h); err != nil {
			return
		}
		length := int(binary.BigEndian.Uint16(h[16:]))
		body := make([]byte, max(length-wire.HeaderLen, 0))
		if _, err := io.ReadFull(c.reader, body); err != nil {
			return
		}
		e.hear(length, wire.Type(h[18]), body)
		if wire.Type(h[18]) == wire.TypeKeepalive && c.write(wire.Keepalive()) != nil {
			return
		}
	}
}

func (e *ear) hear(length int, t wire.Type, body []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.longest, e.total = max(e.longest, length), e.total+1
	if t == wire.TypeNotification {
		n := wire.ParseNotification(body)
		e.word = n.Error()
	}
	if t != wire.TypeUpdate {
		return
	}
	// RFC 4271 section 4.3: what is withdrawn, the attributes, what is announced.
	gone, rest := counted(body)
	attributes, news := counted(rest)
	e.note(gone, false, false)
	e.note(news, false, true)
	for len(attributes) >= 3 {
		var value []byte
		kind := attributes[1]
		if attributes[0]&0x10 != 0 { // extended length
			value, attributes = counted(attributes[2:])
		} else {
			n := min(3+int(attributes[2]), len(attributes))
			value, attributes = attributes[3:n], attributes[n:]
		}
		switch {
		case kind == 14 && len(value) > 4: // MP_REACH_NLRI, RFC 4760: family, next hop, a reserved octet
			e.note(value[min(5+int(value[3]), len(value)):], binary.BigEndian.Uint16(value) == 2, true)
		case kind == 15 && len(value) > 3: // MP_UNREACH_NLRI
			e.note(value[3:], binary.BigEndian.Uint16(value) == 2, false)
		}
	}
}

// counted splits off what has its length, of two octets, before it.
func counted(b []byte) (value, rest []byte) {
	if len(b) < 2 {
		return nil, nil
	}
	n := min(2+int(binary.BigEndian.Uint16(b)), len(b))
	return b[2:n], b[n:]
}

func (e *ear) note(b []byte, six, announced bool) {
	for len(b) > 0 {
		bits := int(b[0])
		n := min(1+(bits+7)/8, len(b))
		a := make([]byte, map[bool]int{false: 4, true: 16}[six])
		copy(a, b[1:n])
		addr, _ := netip.AddrFromSlice(a)
		if p := netip.PrefixFrom(addr, bits); announced {
			e.known[p] = true
		} else {
			delete(e.known, p)
		}
		b = b[n:]
	}
}

// hears waits until the router knows n prefixes, or until it has heard the last word, which takes all of them.
func (e *ear) hears(t *testing.T, what string, n int, word bool) {
	t.Helper()
	known, said := 0, ""
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		e.mu.Lock()
		known, said = len(e.known), e.word
		e.mu.Unlock()
		if word && said == `cease, administrative shutdown: "enough" (6/2)` || !word && known == n {
			return
		}
	}
	t.Fatalf("%s: the router knows %d prefixes, the last word is %q", what, known, said)
}

// TestNoMessageIsTooLong tells two routers of ten thousand routes and more, in each way in which GoBGP makes UPDATEs, and takes
// all of them back: no message is longer than RFC 4271 section 4 allows.
func TestNoMessageIsTooLong(t *testing.T) {
	const four, six = 10_000, 200
	ears := map[string]*ear{"r": {}, "s": {}}
	d := Desired{Peers: map[string]Peer{}}
	for name, e := range ears {
		p := peerOf(newFakeRouter(t, e.talk).session()).Peers["r"]
		p.Session.HoldTime, p.Session.KeepaliveTime = time.Minute, 20*time.Second
		d.Peers[name] = p
	}
	all := map[netip.Prefix]Route{}
	for i := range four {
		all[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)] = Route{}
	}
	for i := range six {
		all[netip.PrefixFrom(sixth(i), 128)] = Route{}
	}
	heavy := maps.Clone(all)
	for i := range 300 {
		heavy[netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, byte(i >> 8), byte(i)}), 32)] = fullest()
	}
	r := startRouter(t)
	step := func(what string, mode Mode, routes map[netip.Prefix]Route, known int) {
		t.Helper()
		for name, p := range d.Peers {
			p.Mode, p.Routes, p.Reason = mode, routes, "enough"
			d.Peers[name] = p
		}
		for name := range d.Peers {
			untilPeer(t, r, d, name, what, func(s Status) bool { return (s.State == Established) == (mode != Down) })
		}
		for _, e := range ears {
			e.hears(t, what, known, mode == Down)
		}
	}
	step("sessions come up", Up, nil, 0)
	step("routes are announced", Up, all, len(all))
	step("routes go, and the session", Down, all, 0)
	step("sessions come up with routes", Up, heavy, len(heavy))
	step("routes are taken back", Up, nil, 0)
	for name, e := range ears {
		t.Logf("%s: the longest of %d messages had %d bytes", name, e.total, e.longest)
		if e.longest > wire.MaxLen {
			t.Errorf("%s: a message of %d bytes", name, e.longest)
		}
		if e.longest < 2048 {
			t.Errorf("%s: the longest message had %d bytes: nothing was packed, which is what can go wrong", name, e.longest)
		}
	}
}

func sixth(i int) netip.Addr {
	a := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint16(a[14:], uint16(i))
	return netip.AddrFrom16(a)
}

// fullest is a route that carries as much as one may.
func fullest() Route {
	r := Route{MED: Some(1), Prepend: 64, Bandwidth: 1e6}
	for i := range uint32(maxCommunities) {
		r.Communities = append(r.Communities, Community(65000<<16|i))
		r.LargeCommunities = append(r.LargeCommunities, LargeCommunity{4200000000, 1, i})
		r.ExtendedCommunities = append(r.ExtendedCommunities, ExtendedCommunity{0x00, 0x02, 0xfd, 0xe8, 0, 0, 0, byte(i)})
	}
	return r
}

// untilPeer is until for a peer of any name.
func untilPeer(t *testing.T, r *Router, d Desired, name, what string, ok func(Status) bool) {
	t.Helper()
	var last Status
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(10 * time.Millisecond) {
		running, err := r.Apply(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if last = running.Peers[name]; ok(last) {
			return
		}
	}
	t.Fatalf("%s: never seen of %s: %+v", what, name, last)
}

// TestLastWordOvertakes: a router that reads slowly gets the last word when it is time, before what GoBGP still has to say and
// behind a whole message.
func TestLastWordOvertakes(t *testing.T) {
	b := newBench(t)
	for i := range 5000 { // in a message each: of IPv6 GoBGP packs none
		b.routes[netip.PrefixFrom(sixth(i), 128)] = said{&Route{}, netip.MustParseAddr("2001:db8:ffff::1")}
	}
	hangUp := make(chan farewell)
	e := &ear{}
	err := b.hangUp(t, hangUp, func(c *fakeConn) {
		_ = c.conn.(*net.TCPConn).SetReadBuffer(4096)
		if c.greet(fakeOpen()) != nil {
			return
		}
		b.quiet()
		hangUp <- farewell{word: *wire.Shutdown("enough"), whole: true}
		e.listen(c)
	})
	if e.word != `cease, administrative shutdown: "enough" (6/2)` {
		t.Errorf("the last word of %d messages is %q; the link ended with %v", e.total, e.word, err)
	}
	if len(e.known) == len(b.routes) {
		t.Error("the router was told everything first")
	}
}
