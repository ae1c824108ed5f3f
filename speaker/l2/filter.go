package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The kernel drops what is not for us before it costs a wake-up. A program has up to four parts:
//
//	arrival   for this very interface, untagged, and addressed to us or to a group    (ancillary data)
//	kind      an ARP request or reply, a neighbour solicitation or advertisement          (header bytes)
//	asked     the last 32 bits of the target address are those of one of ours             (search tree)
//	claimed   of ARP, the sender's address is one of ours that are watched                (search tree)
//
// Replies and advertisements pass only while something is watched. The responder looks at whole addresses again, so the
// filter may let through too much but never too little.

const (
	// maxSpans bounds each tree, and with it how many addresses that do not adjoin are told apart exactly.
	maxSpans = 1000
	// maxProgram keeps a program under the 4,096 instructions of classic BPF. A tree takes 1.4 instructions per single
	// address and 2.5 per range; so two trees for 1,000 addresses fit however these lie.
	maxProgram = 4000
	// leafSpans are compared one after the other; above that the tree branches.
	leafSpans = 8
	// wholeFrame is how much of an accepted frame is passed on.
	wholeFrame = 2048
)

// words are the last 32 bits of addresses, sorted; IPv6 addresses may have them in common.
type words []uint32

func wordOf(a netip.Addr) uint32 {
	b := a.As16()
	return binary.BigEndian.Uint32(b[12:])
}

func wordsOf(addrs []netip.Addr) words {
	out := make(words, len(addrs))
	for i, a := range addrs {
		out[i] = wordOf(a)
	}
	slices.Sort(out)
	return out
}

// change returns the words with those of the addresses that came and without those of the ones that went, which must be
// among them.
func (w words) change(came, went []netip.Addr) words {
	in, gone := wordsOf(came), wordsOf(went)
	if len(in)+len(gone) == 0 {
		return w
	}
	out := make(words, 0, len(w)+len(in)-len(gone))
	for _, x := range w {
		if len(gone) > 0 && gone[0] == x {
			gone = gone[1:]
			continue
		}
		for len(in) > 0 && in[0] <= x {
			out, in = append(out, in[0]), in[1:]
		}
		out = append(out, x)
	}
	return append(out, in...)
}

// span is an inclusive range of target words.
type span struct{ lo, hi uint32 }

// spans joins words to as few ranges as hold them exactly.
func (w words) spans() []span {
	var out []span
	for _, x := range w {
		if n := len(out); n > 0 && x-out[n-1].hi <= 1 {
			out[n-1].hi = x
			continue
		}
		out = append(out, span{x, x})
	}
	return out
}

// cover closes the smallest gaps between the ranges until at most limit are left. No other limit ranges that hold all
// addresses let fewer foreign ones through; covering prefixes would be such ranges with less freedom.
func cover(exact []span, limit int) []span {
	if len(exact) <= limit {
		return exact
	}
	most := widestClosed(exact, limit)
	equal := limit - 1 - gapsAbove(exact, most) // gaps of that very width that may stay open
	out := append(make([]span, 0, limit), exact[0])
	for i, s := range exact[1:] {
		gap := s.lo - exact[i].hi
		if gap == most && equal > 0 {
			equal--
		} else if gap <= most {
			out[len(out)-1].hi = s.hi
			continue
		}
		out = append(out, s)
	}
	return out
}

// widestClosed returns the least width with fewer than limit gaps that are wider.
func widestClosed(exact []span, limit int) uint32 {
	lo, hi := uint32(0), uint32(1<<32-1)
	for lo < hi {
		if mid := lo + (hi-lo)/2; gapsAbove(exact, mid) < limit {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo
}

func gapsAbove(exact []span, width uint32) (n int) {
	for i := range exact[1:] {
		if exact[i+1].lo-exact[i].hi > width {
			n++
		}
	}
	return n
}

// tree returns instructions that accept the frame if the word in register A lies in one of the sorted ranges, else drop it.
func tree(s []span) []bpf.Instruction {
	if len(s) <= leafSpans {
		return leaf(s)
	}
	mid := len(s) / 2
	left, right := tree(s[:mid]), tree(s[mid:])
	branch := []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: s[mid].lo, SkipTrue: uint8(len(left))}}
	if len(left) > 255 { // conditional jumps reach no further
		branch = []bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: s[mid].lo, SkipFalse: 1},
			bpf.Jump{Skip: uint32(len(left))},
		}
	}
	return slices.Concat(branch, left, right)
}

// leaf tries the ranges in order and ends in a drop and, behind it, an accept.
func leaf(s []span) []bpf.Instruction {
	n := uint8(0) // comparisons: one for a single word, two for a range
	for _, r := range s {
		n++
		if r.lo != r.hi {
			n++
		}
	}
	var out []bpf.Instruction
	for _, r := range s {
		at := uint8(len(out))
		if r.lo == r.hi {
			out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: r.lo, SkipTrue: n - at})
			continue
		}
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: r.lo, SkipFalse: n - at - 1}, // below it: in none of the rest either
			bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: r.hi, SkipTrue: n - at - 1})
	}
	return append(out, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: wholeFrame})
}

// check loads a value and goes on only if the condition holds.
type check struct {
	load bpf.Instruction
	cond bpf.JumpTest
	val  uint32
}

// all returns instructions that drop the frame unless every check holds, and fall through if they do.
func all(checks ...check) []bpf.Instruction {
	var out []bpf.Instruction
	for _, c := range checks {
		drop := 2*len(checks) - len(out) - 1
		out = append(out, c.load, bpf.JumpIf{Cond: c.cond, Val: c.val, SkipFalse: uint8(drop)})
	}
	return append(out, bpf.Jump{Skip: 1}, bpf.RetConstant{Val: 0})
}

func is(off uint32, size int, val uint32) check {
	return check{bpf.LoadAbsolute{Off: off, Size: size}, bpf.JumpEqual, val}
}

// filter is what one socket lets through.
type filter struct {
	proto          protocol
	index          int
	asked, watched words
}

func (f *filter) change(h hearing) {
	f.asked = f.asked.change(h.asked, h.unasked)
	f.watched = f.watched.change(h.watched, h.unwatched)
}

// compile returns the part of the filter that looks at the frame's bytes alone.
func (f *filter) compile(limit int) []bpf.Instruction {
	switch {
	case len(f.asked) == 0:
		return []bpf.Instruction{bpf.RetConstant{Val: 0}}
	case f.proto == protocolNDP:
		return f.compileNDP(limit)
	}
	return f.compileARP(limit)
}

// compileARP: RFC 826, Ethernet and IPv4.
func (f *filter) compileARP(limit int) []bpf.Instruction {
	shape := []check{is(12, 2, unix.ETH_P_ARP), is(14, 2, 1), is(16, 2, unix.ETH_P_IP), is(18, 2, 0x0604)}
	target, sender := bpf.LoadAbsolute{Off: 14 + 24, Size: 4}, bpf.LoadAbsolute{Off: 14 + 14, Size: 4}
	asked := append([]bpf.Instruction{target}, tree(cover(f.asked.spans(), limit))...)
	if len(f.watched) == 0 {
		return append(all(append(shape, is(20, 2, 1))...), asked...)
	}
	orElse(asked)
	isRequest := []bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 1}, bpf.Jump{Skip: uint32(len(asked))}}
	claimed := append([]bpf.Instruction{sender}, tree(cover(f.watched.spans(), limit))...)
	known := check{bpf.LoadAbsolute{Off: 20, Size: 2}, bpf.JumpLessOrEqual, 2}
	return slices.Concat(all(append(shape, known)...), isRequest, asked, claimed)
}

// orElse has whatever a tree would drop go on behind it.
func orElse(program []bpf.Instruction) {
	for i, x := range program {
		if x == (bpf.RetConstant{Val: 0}) {
			program[i] = bpf.Jump{Skip: uint32(len(program) - 1 - i)}
		}
	}
}

// compileNDP: RFC 4861 §4.3, §4.4 and §7.1. The socket sees all IPv6 traffic, so what sorts most of it out comes first.
// Messages behind extension headers do not occur; fragments are forbidden (RFC 6980).
func (f *filter) compileNDP(limit int) []bpf.Instruction {
	kind := is(14+40, 2, 135<<8)
	if len(f.watched) > 0 { // 136 is an advertisement, 137 a redirect
		kind = check{bpf.LoadAbsolute{Off: 14 + 40, Size: 2}, bpf.JumpGreaterOrEqual, 135 << 8}
	}
	checks := []check{is(14+6, 1, unix.IPPROTO_ICMPV6), kind, is(14+7, 1, 255), is(12, 2, unix.ETH_P_IPV6)}
	if len(f.watched) > 0 {
		checks = append(checks, check{bpf.LoadAbsolute{Off: 14 + 40, Size: 1}, bpf.JumpLessOrEqual, 136}, is(14+41, 1, 0))
	}
	target := bpf.LoadAbsolute{Off: 14 + 40 + 8 + 12, Size: 4}
	return slices.Concat(all(checks...), []bpf.Instruction{target}, tree(cover(f.asked.spans(), limit)))
}

// arrival keeps to frames that this interface received for itself. The kernel also shows a parent's socket the frames of
// its VLANs (their device's index differs) and those of VLANs that nobody set up (marked as another host's).
func arrival(p protocol, index int) []bpf.Instruction {
	// PACKET_HOST is 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2: one bit tells the wanted group from the rest.
	group := uint32(unix.PACKET_BROADCAST)
	if p == protocolNDP {
		group = unix.PACKET_MULTICAST
	}
	return all(
		check{bpf.LoadExtension{Num: bpf.ExtType}, bpf.JumpBitsNotSet, ^group},
		check{bpf.LoadExtension{Num: bpf.ExtInterfaceIndex}, bpf.JumpEqual, uint32(index)},
		check{bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}, bpf.JumpEqual, 0},
	)
}

// assemble returns the whole filter with trees of at most limit ranges.
func (f *filter) assemble(limit int) ([]bpf.RawInstruction, error) {
	raw, err := bpf.Assemble(append(arrival(f.proto, f.index), f.compile(limit)...))
	if err != nil {
		return nil, fmt.Errorf("assembling %s filter: %w", f.proto, err)
	}
	return raw, nil
}

// set replaces a socket's filter; the kernel exchanges it between two frames. Where the socket's option memory is too
// small (net.core.optmem_max, 20 KiB on older kernels) a coarser one is tried.
func (f *filter) set(s bpf.Setter) error {
	for limit := maxSpans; ; {
		raw, err := f.assemble(limit)
		if err != nil {
			return err
		}
		if len(raw) > maxProgram {
			limit = limit * maxProgram / len(raw)
			continue
		}
		err = s.SetBPF(raw)
		if err == nil || limit <= 1 || !errors.Is(err, unix.ENOMEM) {
			return err
		}
		limit /= 2
	}
}
