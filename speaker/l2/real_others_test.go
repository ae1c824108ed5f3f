package l2

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

func realApplyAll(t testing.TB, a *Announcer, d Desired) Running {
	t.Helper()
	r, err := a.Apply(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// comesTo applies d whenever something has changed, until it runs as wanted.
func comesTo(t *testing.T, a *Announcer, d Desired, want Running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		diff := cmp.Diff(want, realApplyAll(t, a, d), equate)
		if diff == "" {
			return
		}
		select {
		case <-a.Changed():
		case <-ctx.Done():
			t.Fatal("never came to run: ", diff)
		}
	}
}

func (h *host) station(name string) MAC { return MAC(h.MAC(name)) }

// marked is an Ethernet type that nobody but these tests uses.
const marked = 0x88b5

// mark sends a numbered frame to everybody, so that what was sent before it can be told from what was sent after.
func (p *tap) mark(n uint32) {
	p.h.t.Helper()
	f := append(append(bytes.Clone(ethernet.Broadcast), p.mac...), 0x88, 0xb5)
	f = append(binary.BigEndian.AppendUint32(f, n), make([]byte, 46)...)
	_, err := p.marks.WriteTo(f, &packet.Addr{HardwareAddr: f[:6]})
	p.h.Must(err)
}

func markOf(f []byte) (uint32, bool) {
	if len(f) < 18 || binary.BigEndian.Uint16(f[12:]) != marked {
		return 0, false
	}
	return binary.BigEndian.Uint32(f[14:]), true
}

func isMark(n uint32) func([]byte) bool {
	return func(f []byte) bool {
		got, ok := markOf(f)
		return ok && got == n
	}
}

// TestStandInLeadsToTheOtherNode: the neighbour's kernel finds the address at the node that is away, sends its packets
// there, and the switch is not led astray.
func TestStandInLeadsToTheOtherNode(t *testing.T) {
	sw, hosts := lan(t, 3)
	away, standIn, neighbour := hosts[0], hosts[1], hosts[2]
	mac := away.MAC("eth0")
	out := standIn.tap("eth0")
	arriving := away.tap("eth0")
	e := Entry{As: map[string]MAC{"eth0": away.station("eth0")}}
	r := realApplyAll(t, standIn.announce(), entries(e, one, oneV6))
	expect(t, "running", Running{StandIns: map[netip.Addr][]string{one: {"eth0"}, oneV6: {"eth0"}}}, r)
	away.poke(netip.MustParseAddr("192.0.2.4")) // the switch knows where it is
	sw.eventually("station learnt", func() bool { return sw.port(mac) == "port0" })
	for _, x := range []netip.Addr{one, oneV6} {
		neighbour.resolves(x, mac)
		neighbour.poke(x)
		toward := x.AsSlice()
		arriving.next("packet at the node that is away", func(f []byte) bool {
			return bytes.Equal(f[:6], mac) && bytes.Contains(f[ethLen:], toward) && (f[23] == unix.IPPROTO_UDP || f[20] == unix.IPPROTO_UDP)
		})
	}
	if port := sw.port(mac); port != "port0" {
		t.Errorf("the switch has learnt the other node to be at %q", port)
	}
	out.mark(1)
	own := standIn.MAC("eth0")
	for _, f := range out.until("mark", speaks(own, one, oneV6), isMark(1)) {
		if f[0]&1 == 1 {
			t.Errorf("said to everybody: % x", f)
		}
		if m, _, ok := ndpOf[*ndp.NeighborAdvertisement](f); ok && (m.Override || !m.Solicited) {
			t.Errorf("advertised %+v", m)
		}
	}
}

// TestNoOldAnswerAfterApply asks without pause while the answer is switched between our own hardware address, another's
// and silence. The tap sits where the frames leave: the kernel shows it each one before the sender's call returns, so what
// comes after a mark was sent after it.
func TestNoOldAnswerAfterApply(t *testing.T) {
	const rounds = 60
	node, neighbour := pair(t)
	a := node.announce()
	mac := node.MAC("eth0")
	leaving := node.tap("eth0")
	own := entries(Entry{}, one, oneV6)
	others := []Desired{
		entries(Entry{As: map[string]MAC{"eth0": friendMAC}}, one, oneV6), entries(Entry{As: map[string]MAC{}}, one, oneV6), entries(Entry{}),
	}
	realApplyAll(t, a, own)
	defer neighbour.askWithoutPause(leaving)()
	isOwn := func(f []byte) bool {
		if !speaks(mac, one, oneV6)(f) {
			return false
		}
		if p, ok := arpOf(f); ok {
			return bytes.Equal(p.SenderHardwareAddr, mac)
		}
		m, _, _ := ndpOf[*ndp.NeighborAdvertisement](f)
		return bytes.Equal(linkLayer(m.Options, ndp.Target), mac)
	}
	isOther := func(f []byte) bool { return speaks(mac, one, oneV6)(f) && !isOwn(f) }
	old, fresh := 0, 0
	for i := range uint32(rounds) {
		realApplyAll(t, a, own)
		leaving.until("own answers", nothing, counted(10, func(f []byte) bool { return f[0]&1 == 0 && isOwn(f) }))
		realApplyAll(t, a, others[i%3])
		leaving.mark(2 * i)
		if i%3 == 0 {
			leaving.until("mark", nothing, isMark(2*i))
			got := leaving.until("answers for the other", func(f []byte) bool { return isOwn(f) || isOther(f) }, counted(10, isOther))
			old, fresh = old+len(got)-10, fresh+10
			continue
		}
		leaving.until("mark", nothing, isMark(2*i))
		leaving.until("requests left unanswered", nothing, counted(20, func(f []byte) bool { return bytes.Equal(f[:6], mac) }))
		leaving.mark(2*i + 1)
		old += len(leaving.until("mark", func(f []byte) bool { return isOwn(f) || isOther(f) }, isMark(2*i+1)))
	}
	if old > 0 || fresh == 0 {
		t.Errorf("%d answers of old left after Apply had returned", old)
	}
}

// askWithoutPause sends requests and solicitations by two threads until the returned function is called, so many at a time
// as may be on their way until the node's tap has seen them.
func (h *host) askWithoutPause(node *tap) (stop func()) {
	h.t.Helper()
	p := h.tap("eth0")
	underway := make(chan struct{}, 256)
	solicitation := p.solicits(oneV6, nil)
	copy(solicitation, node.mac) // by unicast
	node.seen = func(f []byte) {
		if bytes.Equal(f[6:12], p.mac) && bytes.Equal(f[:6], node.mac) {
			select {
			case <-underway:
			default: // the neighbour's kernel has a word to say as well
			}
		}
	}
	var asking sync.WaitGroup
	stopped := make(chan struct{})
	for _, f := range [][]byte{p.asks(one, node.mac), solicitation} {
		asking.Go(func() {
			for {
				select {
				case <-stopped:
					return
				case underway <- struct{}{}:
					_, _ = p.conn.WriteTo(f, &packet.Addr{HardwareAddr: f[:6]}) // fails when the test ends
				}
			}
		})
	}
	asking.Go(func() {
		for {
			select {
			case <-stopped:
				return
			case <-p.frames: // the answers are looked at where they leave
			}
		}
	})
	return func() {
		close(stopped)
		asking.Wait()
	}
}

// TestProbingComesFirst: three probes of each kind, in the forms of RFC 5227 §2.1.1 and RFC 4862 §5.4.2, before the first word of our own.
func TestProbingComesFirst(t *testing.T) {
	node, neighbour := pair(t)
	mac, wire := node.MAC("eth0"), neighbour.tap("eth0")
	a := node.announce()
	d := entries(Entry{Probe: true}, one, oneV6)
	realApplyAll(t, a, d)
	comesTo(t, a, d, answers(one, oneV6))
	neighbour.resolves(one, mac)
	neighbour.resolves(oneV6, mac)
	ours := speaks(mac, one, oneV6)
	count := map[string]int{}
	before := wire.until("announcements", func(f []byte) bool { return bytes.Equal(f[6:12], mac) }, counted(2*(2+1), ours))
	seen := map[string]bool{}
	for _, f := range before {
		if p, ok := arpOf(f); ok && p.TargetIP == one {
			if p.SenderIP == one {
				seen["arp"] = true
				continue
			}
			want := &arp.Packet{
				HardwareType: 1, ProtocolType: 0x800, HardwareAddrLength: 6, IPLength: 4, Operation: arp.OperationRequest,
				SenderHardwareAddr: mac, SenderIP: netip.IPv4Unspecified(), TargetHardwareAddr: make(net.HardwareAddr, 6), TargetIP: one,
			}
			if diff := cmp.Diff(want, p, equate); diff != "" || !bytes.Equal(f[:6], ethernet.Broadcast) || seen["arp"] {
				t.Errorf("probe to % x, after an announcement %v: %s", f[:6], seen["arp"], diff)
			}
			count["arp"]++
		}
		if m, dst, ok := ndpOf[*ndp.NeighborSolicitation](f); ok && m.TargetAddress == oneV6 {
			if len(m.Options) > 0 || dst != netip.MustParseAddr("ff02::1:ff00:101") || seen["ndp"] {
				t.Errorf("solicitation to %s, after an announcement %v: %+v", dst, seen["ndp"], m)
			}
			count["ndp"]++
		}
		if _, _, ok := ndpOf[*ndp.NeighborAdvertisement](f); ok {
			seen["ndp"] = true
		}
	}
	if diff := cmp.Diff(map[string]int{"arp": probeCount, "ndp": probeCount}, count); diff != "" {
		t.Error(diff)
	}
}

// TestProbeFindsAHostThatHasTheAddress: the neighbour's kernel owns it and answers; when it gives it up, we announce.
func TestProbeFindsAHostThatHasTheAddress(t *testing.T) {
	for _, x := range []netip.Addr{one, oneV6} {
		for name, stations := range map[string]func(MAC) map[MAC]string{
			"stranger": func(MAC) map[MAC]string { return nil },
			"friend":   func(m MAC) map[MAC]string { return map[MAC]string{m: "n2"} },
		} {
			t.Run(name+" "+string(protocolOf(x)), func(t *testing.T) {
				node, neighbour := pair(t)
				own := netip.PrefixFrom(x, x.BitLen()).String()
				neighbour.Address("eth0", own)
				mac, leaving := neighbour.station("eth0"), node.tap("eth0")
				a := node.announce()
				d := entries(Entry{Probe: true}, x)
				d.Stations = stations(mac)
				problem := map[bool]Problem{true: ProblemHeld, false: ProblemConflict}[d.Stations != nil]
				comesTo(t, a, d, withheld(problem, x, Other{mac, "eth0", d.Stations[mac]}))
				leaving.mark(1)
				if got := leaving.until("mark", speaks(node.MAC("eth0"), x), isMark(1)); len(got) > 0 {
					t.Errorf("said %d times all the same", len(got))
				}
				neighbour.Unaddress("eth0", own)
				comesTo(t, a, d, answers(x))
				neighbour.resolves(x, node.MAC("eth0"))
			})
		}
	}
}

// TestRivalIsFoughtOffOnTheLAN: a host gives itself the address and its kernel asks for somebody in its name. A neighbour
// believes it, until we have said otherwise; if the rival is a friend we do not.
func TestRivalIsFoughtOffOnTheLAN(t *testing.T) {
	for name, friend := range map[string]bool{"stranger": false, "friend": true} {
		t.Run(name, func(t *testing.T) {
			_, hosts := lan(t, 3)
			node, rival, neighbour := hosts[0], hosts[1], hosts[2]
			a, mac := node.announce(), node.MAC("eth0")
			d := entries(Entry{Monitor: true}, one, oneV6)
			if friend {
				d.Stations[rival.station("eth0")] = "n2"
			}
			wire := neighbour.tap("eth0")
			realApplyAll(t, a, d)
			wire.until("end of the bursts", nothing, counted(burstCount*3, speaks(mac, one, oneV6)))
			neighbour.setNeigh("eth0", one, rival.MAC("eth0"), unix.NUD_STALE)
			neighbour.setNeigh("eth0", oneV6, rival.MAC("eth0"), unix.NUD_STALE)

			leaving := node.tap("eth0")
			rival.Address("eth0", "192.0.2.101/32")
			rival.Must(rival.Do(func() error { return sendFrom("192.0.2.101:0", "192.0.2.4:9") }))
			rivalTap := rival.tap("eth0")
			rivalTap.send(naFrame(oneV6, func(n *advertisement) {
				n.from = rival.station("eth0")
				n.message.Options = []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Target, Addr: rival.MAC("eth0")}}
			}))
			want := answers(one, oneV6)
			other := Other{rival.station("eth0"), "eth0", d.Stations[rival.station("eth0")]}
			want.Others = map[netip.Addr]Other{one: other, oneV6: other}
			comesTo(t, a, d, want)
			if friend {
				realApplyAll(t, a, d) // what was due has been sent before this is taken
				leaving.mark(1)
				for _, f := range leaving.until("mark", speaks(mac, one, oneV6), isMark(1)) {
					if f[0]&1 == 1 {
						t.Errorf("defended against a friend: % x", f)
					}
				}
				return
			}
			for _, x := range []netip.Addr{one, oneV6} {
				neighbour.eventually(x.String()+" won back", func() bool {
					got, _ := neighbour.neigh("eth0", x)
					return bytes.Equal(got, mac)
				})
			}
		})
	}
}

func sendFrom(local, remote string) error {
	from, err := net.ResolveUDPAddr("udp", local)
	if err != nil {
		return err
	}
	to, err := net.ResolveUDPAddr("udp", remote)
	if err != nil {
		return err
	}
	c, err := net.DialUDP("udp", from, to)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("x"))
	return err
}

// TestPlannedMove: the old owner answers for the new one, then the new one speaks for itself; no frame of the old owner's
// names the old owner after that, and neighbours follow.
func TestPlannedMove(t *testing.T) {
	_, hosts := lan(t, 3)
	from, to, neighbour := hosts[0], hosts[1], hosts[2]
	leaver, taker := from.announce(), to.announce()
	realApplyAll(t, leaver, entries(Entry{}, one, oneV6))
	neighbour.resolves(one, from.MAC("eth0"))
	neighbour.resolves(oneV6, from.MAC("eth0"))
	leaving := from.tap("eth0")
	realApplyAll(t, leaver, entries(Entry{As: map[string]MAC{"eth0": to.station("eth0")}}, one, oneV6))
	leaving.mark(1) // the acknowledgement would leave now
	realApplyAll(t, taker, entries(Entry{Probe: true}))
	realApplyAll(t, taker, entries(Entry{}, one, oneV6))
	for _, x := range []netip.Addr{one, oneV6} {
		neighbour.eventually(x.String()+" moved", func() bool {
			mac, _ := neighbour.neigh("eth0", x)
			return bytes.Equal(mac, to.MAC("eth0"))
		})
	}
	realApplyAll(t, leaver, Desired{})
	leaving.mark(2)
	leaving.until("mark", nothing, isMark(1))
	for _, f := range leaving.until("mark", speaks(from.MAC("eth0"), one, oneV6), isMark(2)) {
		if p, ok := arpOf(f); ok && !bytes.Equal(p.SenderHardwareAddr, to.MAC("eth0")) {
			t.Errorf("the old owner still says % x", f)
		}
		if m, _, ok := ndpOf[*ndp.NeighborAdvertisement](f); ok && !bytes.Equal(linkLayer(m.Options, ndp.Target), to.MAC("eth0")) {
			t.Errorf("the old owner still says % x", f)
		}
	}
}

// TestOnlyWhatConcernsUsWakesUs: of thousands of foreign frames the kernel lets none through, for a thousand addresses
// that are watched; what does concern us comes through among them.
func TestOnlyWhatConcernsUsWakesUs(t *testing.T) {
	node, neighbour := pair(t)
	mac, p := node.MAC("eth0"), neighbour.tap("eth0")
	list := []netip.Addr{one}
	for i := range uint32(999) {
		list = append(list, v4(0x0b000000+3*i))
	}
	var w wire
	node.Must(node.Do(func() (err error) {
		w, err = openARP(Interface{Name: "eth0", Index: node.Link("eth0").Attrs().Index, MAC: mac})
		return err
	}))
	defer w.Close()
	node.Must(w.hear(hearing{asked: list, watched: list}))
	sent := func(sender, target netip.Addr, op byte, to net.HardwareAddr) {
		f := p.asks(target, to)
		f[21] = op
		copy(f[28:], sender.AsSlice())
		p.send(f)
	}
	foreign := netip.MustParseAddr("192.0.2.103")
	from := MAC(p.mac)
	want := []heard{
		{from: from, asked: one, source: foreign, claimed: foreign}, {from: from, claimed: one},
		{from: from, asked: foreign, source: one, claimed: one}, {from: from, claimed: list[999]},
	}
	for i := range uint32(3000) {
		if i%3 == 0 { // those that are not ours
			continue
		}
		sent(foreign, v4(0x0b000000+i), 1, ethernet.Broadcast)
		sent(v4(0x0b000000+i), foreign, 1, ethernet.Broadcast)
		sent(v4(0x0b000000+i), one, 2, mac)
		sent(foreign, one, 2, mac)
	}
	sent(foreign, one, 1, ethernet.Broadcast)
	sent(one, foreign, 2, mac)
	sent(one, foreign, 1, ethernet.Broadcast)
	sent(list[999], foreign, 2, ethernet.Broadcast)
	for i, x := range want {
		got, err := w.read()
		if err != nil || got != x {
			t.Fatalf("frame %d: heard %+v, error %v, want %+v", i+1, got, err, x)
		}
	}
}
