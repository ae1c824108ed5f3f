package l2

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 0xa} // us
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 0xb} // a neighbour
)

func addrs(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// v4 and v6 make addresses of 32 bits.
func v4(w uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, w)))
}

func v6(w uint32) netip.Addr {
	b := netip.MustParseAddr("2001:db8::").As16()
	binary.BigEndian.PutUint32(b[12:], w)
	return netip.AddrFrom16(b)
}

func arpRequest(target netip.Addr) []byte {
	b := slices.Concat(ethernet.Broadcast, macB, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, macB, []byte{10, 0, 0, 9}, make([]byte, 6))
	return append(append(b, target.AsSlice()...), make([]byte, 18)...)
}

// nsFrame is a solicitation from a neighbour's link-local address to the solicited-node group, changed by edit before its
// checksum is made.
func nsFrame(target netip.Addr, edit func(*nsParts)) []byte {
	group, _ := ndp.SolicitedNodeMulticast(target)
	p := nsParts{
		ns:  ndp.NeighborSolicitation{TargetAddress: target, Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: macB}}},
		src: netip.MustParseAddr("fe80::b"), dst: group, hops: 255, from: macB,
	}
	if edit != nil {
		edit(&p)
	}
	body, err := ndp.MarshalMessageChecksum(&p.ns, p.src, p.dst)
	if err != nil {
		panic(err)
	}
	d := p.dst.As16()
	f := slices.Concat(net.HardwareAddr{0x33, 0x33, d[12], d[13], d[14], d[15]}, p.from, []byte{0x86, 0xdd, 0x60, 0, 0, 0})
	f = binary.BigEndian.AppendUint16(f, uint16(len(body)))
	f = append(f, 58, p.hops)
	return slices.Concat(f, p.src.AsSlice(), p.dst.AsSlice(), body)
}

type nsParts struct {
	ns       ndp.NeighborSolicitation
	src, dst netip.Addr
	hops     byte
	from     net.HardwareAddr
}

func runVM(t testing.TB, program []bpf.Instruction) func([]byte) bool {
	t.Helper()
	if _, err := bpf.Assemble(program); err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	return func(frame []byte) bool {
		n, err := vm.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
}

func filterOf(p protocol, asked, watched []netip.Addr) *filter {
	f := &filter{proto: p, index: 7}
	f.change(hearing{asked: asked, watched: watched})
	return f
}

func TestFilterLooksAtTheQuestion(t *testing.T) {
	ours4, ours6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	edited := func(frame []byte, at int, b ...byte) []byte {
		copy(frame[at:], b)
		return frame
	}
	tests := []struct {
		name  string
		proto protocol
		frame []byte
		want  bool
	}{
		{"request for us", protocolARP, arpRequest(ours4), true},
		{"request for another", protocolARP, arpRequest(netip.MustParseAddr("192.0.2.2")), false},
		{"reply", protocolARP, edited(arpRequest(ours4), 20, 0, 2), false},
		{"not Ethernet", protocolARP, edited(arpRequest(ours4), 14, 0, 6), false},
		{"not IPv4", protocolARP, edited(arpRequest(ours4), 16, 0x86, 0xdd), false},
		{"wrong address lengths", protocolARP, edited(arpRequest(ours4), 18, 8, 4), false},
		{"not ARP", protocolARP, edited(arpRequest(ours4), 12, 8, 0), false},
		{"cut short", protocolARP, arpRequest(ours4)[:40], false},
		{"solicitation for us", protocolNDP, nsFrame(ours6, nil), true},
		{"solicitation for another", protocolNDP, nsFrame(netip.MustParseAddr("2001:db8::2"), nil), false},
		{"same last 32 bits: left to the responder", protocolNDP, nsFrame(netip.MustParseAddr("2001:db8:1::1"), nil), true},
		{"advertisement", protocolNDP, edited(nsFrame(ours6, nil), 54, 136), false},
		{"code not zero", protocolNDP, edited(nsFrame(ours6, nil), 55, 1), false},
		{"through a router", protocolNDP, edited(nsFrame(ours6, nil), 21, 254), false},
		{"TCP", protocolNDP, edited(nsFrame(ours6, nil), 20, 6), false},
		{"cut short", protocolNDP, nsFrame(ours6, nil)[:70], false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ours := []netip.Addr{ours4}
			if tt.proto == protocolNDP {
				ours = []netip.Addr{ours6}
			}
			if got := runVM(t, filterOf(tt.proto, ours, nil).compile(maxSpans))(tt.frame); got != tt.want {
				t.Errorf("accepted: %v, want %v", got, tt.want)
			}
			if runVM(t, filterOf(tt.proto, nil, nil).compile(maxSpans))(tt.frame) {
				t.Error("accepted without any address of ours")
			}
		})
	}
}

// TestFilterHearsClaims: claims pass while something is watched, and only for what is.
func TestFilterHearsClaims(t *testing.T) {
	ours, watched := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	ours6, absent := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.3")
	from := func(sender, target netip.Addr, op byte) []byte {
		f := arpRequest(target)
		f[21] = op
		copy(f[28:], sender.AsSlice())
		return f
	}
	tests := []struct {
		name           string
		proto          protocol
		frame          []byte
		watching, idle bool
	}{
		{"request", protocolARP, from(absent, ours, 1), true, true},
		{"request by a watched address for a foreign one", protocolARP, from(watched, absent, 1), true, false},
		{"request by a watched address for ours", protocolARP, from(watched, ours, 1), true, true},
		{"request by one that is ours, not watched", protocolARP, from(ours, absent, 1), false, false},
		{"reply by a watched address", protocolARP, from(watched, absent, 2), true, false},
		{"reply by one that is not watched", protocolARP, from(ours, absent, 2), false, false},
		{"reply to ours", protocolARP, from(absent, ours, 2), false, false},
		{"foreign request", protocolARP, from(absent, absent, 1), false, false},
		{"reverse request", protocolARP, from(watched, ours, 3), false, false},
		{"advertisement of ours", protocolNDP, naFrame(ours6, nil), true, false},
		{"advertisement of another", protocolNDP, naFrame(netip.MustParseAddr("2001:db8::2"), nil), false, false},
		{"solicitation for ours", protocolNDP, nsFrame(ours6, nil), true, true},
		{"redirect", protocolNDP, append(naFrame(ours6, nil)[:54:54], append([]byte{137}, naFrame(ours6, nil)[55:]...)...), false, false},
		{"advertisement, code not zero", protocolNDP, append(naFrame(ours6, nil)[:55:55], append([]byte{1}, naFrame(ours6, nil)[56:]...)...), false, false},
	}
	for _, tt := range tests {
		asked, heard := []netip.Addr{ours, watched}, []netip.Addr{watched}
		if tt.proto == protocolNDP {
			asked, heard = []netip.Addr{ours6}, []netip.Addr{ours6}
		}
		if got := runVM(t, filterOf(tt.proto, asked, heard).compile(maxSpans))(tt.frame); got != tt.watching {
			t.Errorf("%s: accepted %v while watching", tt.name, got)
		}
		if got := runVM(t, filterOf(tt.proto, asked, nil).compile(maxSpans))(tt.frame); got != tt.idle {
			t.Errorf("%s: accepted %v while not watching", tt.name, got)
		}
	}
}

// TestFilterTwin compares programs of all sizes with plain set membership.
func TestFilterTwin(t *testing.T) {
	for _, n := range []int{1, 2, 7, 8, 9, 16, 17, 100, 511, 1000} {
		for _, space := range []uint32{uint32(2 * n), 1 << 31, 0xffffffff} { // dense with runs, sparse
			rng := rand.New(rand.NewPCG(uint64(n), uint64(space)))
			words := make([]uint32, n)
			for i := range words {
				words[i] = rng.Uint32N(space)
			}
			words[0], words[n-1] = 0, 0xffffffff
			checkTwin(t, words, rng)
		}
	}
}

func checkTwin(t *testing.T, words []uint32, rng *rand.Rand) {
	t.Helper()
	ours, four, six := map[uint32]bool{}, []netip.Addr{}, []netip.Addr{}
	for _, w := range words {
		ours[w] = true
		four, six = append(four, v4(w)), append(six, v6(w))
	}
	asked := []uint32{0, 0xffffffff, rng.Uint32()}
	for _, w := range words {
		asked = append(asked, w-1, w, w+1)
	}
	accept4, accept6 := runVM(t, filterOf(protocolARP, four, nil).compile(len(words))), runVM(t, filterOf(protocolNDP, six, nil).compile(len(words)))
	claims := runVM(t, filterOf(protocolARP, four, four).compile(len(words)))
	for _, w := range asked {
		request, reply := arpRequest(v4(w)), arpRequest(v4(words[0])) // the request's own sender is 10.0.0.9
		copy(reply[28:], v4(w).AsSlice())
		reply[21] = 2
		if claims(request) != (ours[w] || ours[0x0a000009]) || claims(reply) != ours[w] {
			t.Fatalf("%d addresses watched, word %#x: request %v, reply %v, want %v", len(words), w, claims(request), claims(reply), ours[w])
		}
		if got4, got6 := accept4(arpRequest(v4(w))), accept6(nsFrame(v6(w), nil)); got4 != ours[w] || got6 != ours[w] {
			t.Fatalf("%d addresses, word %#x: ARP %v, NDP %v, want %v", len(words), w, got4, got6, ours[w])
		}
	}
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1, 10, 0, 0, 2, 10, 0, 0, 4}, uint32(0x0a000003), uint8(2))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, uint32(0), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, asked uint32, limit uint8) {
		var four []netip.Addr
		has := false
		for ; len(raw) >= 4; raw = raw[4:] {
			w := binary.BigEndian.Uint32(raw)
			four, has = append(four, v4(w)), has || w == asked
		}
		exact := runVM(t, filterOf(protocolARP, four, nil).compile(max(1, len(four))))
		if got := exact(arpRequest(v4(asked))); got != has {
			t.Errorf("exact filter: %v, want %v", got, has)
		}
		coarse := runVM(t, filterOf(protocolARP, four, nil).compile(int(limit)+1))
		if watched := runVM(t, filterOf(protocolARP, four, four).compile(int(limit)+1)); has && !watched(arpRequest(v4(asked))) {
			t.Error("coarse filter with claims drops one of ours")
		}
		if has && !coarse(arpRequest(v4(asked))) {
			t.Error("coarse filter drops one of ours")
		}
	})
}

// TestCoverTwin tries every way of joining ranges and finds none that lets fewer foreign addresses through.
func TestCoverTwin(t *testing.T) {
	size := func(s []span) (n uint64) {
		for _, r := range s {
			n += uint64(r.hi-r.lo) + 1
		}
		return n
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var list []netip.Addr
		for range 2 + rng.IntN(8) {
			list = append(list, v4(rng.Uint32N(60)))
		}
		exact := wordsOf(list).spans()
		limit := 1 + rng.IntN(len(exact))
		got := cover(exact, limit)
		best := size([]span{{exact[0].lo, exact[len(exact)-1].hi}})
		for cut := range 1 << (len(exact) - 1) { // bit i: keep the gap behind range i
			joined := []span{exact[0]}
			for i, s := range exact[1:] {
				if cut>>i&1 == 1 {
					joined = append(joined, s)
				} else {
					joined[len(joined)-1].hi = s.hi
				}
			}
			if len(joined) <= limit {
				best = min(best, size(joined))
			}
		}
		if len(got) > limit || size(got) != best {
			t.Fatalf("cover(%v, %d) = %v: %d addresses, possible are %d", exact, limit, got, size(got), best)
		}
	}
}

func TestSpansJoinNeighbours(t *testing.T) {
	got := wordsOf(addrs("10.0.0.3", "10.0.0.1", "10.0.0.2", "10.0.0.2", "10.0.0.9", "255.255.255.255")).spans()
	want := []span{{0x0a000001, 0x0a000003}, {0x0a000009, 0x0a000009}, {0xffffffff, 0xffffffff}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(span{})); diff != "" {
		t.Error(diff)
	}
}

// recorder takes every program.
type recorder struct{ got []bpf.RawInstruction }

func (r *recorder) SetBPF(f []bpf.RawInstruction) error {
	r.got = f
	return nil
}

// TestWatchedFilterIsExactForAThousand: two trees for any 1,000 addresses fit the kernel's limit undiminished.
func TestWatchedFilterIsExactForAThousand(t *testing.T) {
	for name, at := range map[string]func(uint32) uint32{
		"single": func(i uint32) uint32 { return 3 * i }, "in pairs": func(i uint32) uint32 { return i/2*4 + i%2 },
		"in threes and singles": func(i uint32) uint32 { return i/4*8 + i%4 + i%4/3 },
	} {
		var list []netip.Addr
		for i := range uint32(1000) {
			list = append(list, v4(0x0b000000+at(i)))
		}
		f, r := filterOf(protocolARP, list, list), &recorder{}
		if err := f.set(r); err != nil {
			t.Fatal(err)
		}
		exact, err := f.assemble(len(list))
		if err != nil || !slices.Equal(exact, r.got) || len(exact) > maxProgram {
			t.Errorf("%s: the exact program has %d instructions, set were %d, error %v", name, len(exact), len(r.got), err)
		}
	}
	for _, n := range []uint32{2000, 40_000} {
		var list []netip.Addr
		for i := range n {
			list = append(list, v4(0x0b000000+i/2*4+i%2))
		}
		r := &recorder{}
		if err := filterOf(protocolARP, list, list).set(r); err != nil || len(r.got) > maxProgram || len(r.got) < maxProgram/2 {
			t.Errorf("%d addresses: %d instructions, error %v", n, len(r.got), err)
		}
	}
}

// TestFilterFits: the worst addresses, every second pair, give the longest programs.
func TestFilterFits(t *testing.T) {
	for _, n := range []int{1, 1000, 2000, 40_000} {
		var four, six []netip.Addr
		for i := range uint32(n) {
			w := 0xc0000000 + i/2*4 + i%2
			four, six = append(four, v4(w)), append(six, v6(w))
		}
		for p, list := range map[protocol][]netip.Addr{protocolARP: four, protocolNDP: six} {
			raw, err := filterOf(p, list, nil).assemble(maxSpans)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s, %d addresses: %d instructions", p, n, len(raw))
			if len(raw) > 2600 {
				t.Errorf("%s, %d addresses: %d instructions", p, n, len(raw))
			}
		}
	}
}

// smallSocket has option memory for so many instructions.
type smallSocket struct {
	room int
	got  []bpf.RawInstruction
}

func (s *smallSocket) SetBPF(f []bpf.RawInstruction) error {
	if len(f) > s.room {
		return unix.ENOMEM
	}
	s.got = f
	return nil
}

func TestSetFilterFitsTheSocket(t *testing.T) {
	var list []netip.Addr
	for i := range uint32(1000) {
		list = append(list, v4(0x0a000000+3*i))
	}
	s := &smallSocket{room: 500}
	if err := filterOf(protocolARP, list, nil).set(s); err != nil || len(s.got) == 0 {
		t.Fatalf("no filter set, error %v", err)
	}
	if err := filterOf(protocolARP, list, nil).set(&smallSocket{room: 5}); !errors.Is(err, unix.ENOMEM) {
		t.Errorf("a socket without room: error %v, want ENOMEM", err)
	}
}
