package l2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The kernel drops what is not for us before it costs a wake-up. A program has three parts:
//
//	arrival   for this very interface, untagged, and addressed to us or to a group    (ancillary data)
//	question  an ARP request or a neighbour solicitation                                  (header bytes)
//	target    the last 32 bits of the target address are those of one of ours             (search tree)
//
// The responder looks at the whole target again, so the filter may let through too much but never too little.

const (
	// maxSpans bounds the tree so that a program (at most 2.5 instructions per span) stays well under the 4,096 instructions
	// of classic BPF, and so that the old and the new one fit the socket's option memory together while they are exchanged.
	maxSpans = 1000
	// leafSpans are compared one after the other; above that the tree branches.
	leafSpans = 8
	// wholeFrame is how much of an accepted frame is passed on.
	wholeFrame = 2048
)

// span is an inclusive range of target words.
type span struct{ lo, hi uint32 }

// spans joins the last 32 bits of each address to as few ranges as hold them exactly.
func spans(addrs []netip.Addr) []span {
	words := make([]uint32, len(addrs))
	for i, a := range addrs {
		b := a.AsSlice()
		words[i] = binary.BigEndian.Uint32(b[len(b)-4:])
	}
	slices.Sort(words)
	var out []span
	for _, w := range words {
		if n := len(out); n > 0 && w-out[n-1].hi <= 1 {
			out[n-1].hi = w
			continue
		}
		out = append(out, span{w, w})
	}
	return out
}

// cover closes the smallest gaps between the ranges until at most limit are left. No other limit ranges that hold all
// addresses let fewer foreign ones through; covering prefixes would be such ranges with less freedom.
func cover(exact []span, limit int) []span {
	if len(exact) <= limit {
		return exact
	}
	gaps := make([]int, len(exact)-1) // gap i lies between ranges i and i+1
	for i := range gaps {
		gaps[i] = i
	}
	slices.SortFunc(gaps, func(a, b int) int {
		return cmp.Or(cmp.Compare(exact[b+1].lo-exact[b].hi, exact[a+1].lo-exact[a].hi), cmp.Compare(a, b))
	})
	kept := gaps[:limit-1]
	slices.Sort(kept)
	out, start := make([]span, 0, limit), 0
	for _, g := range kept {
		out = append(out, span{exact[start].lo, exact[g].hi})
		start = g + 1
	}
	return append(out, span{exact[start].lo, exact[len(exact)-1].hi})
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

// compile returns the part of the filter that looks at the frame's bytes alone, for addresses of one family.
func compile(p protocol, addrs []netip.Addr, limit int) []bpf.Instruction {
	if len(addrs) == 0 {
		return []bpf.Instruction{bpf.RetConstant{Val: 0}}
	}
	checks, target := arpQuestion(), uint32(14+24)
	if p == protocolNDP {
		checks, target = ndpQuestion(), 14+40+8+12
	}
	head := append(all(checks...), bpf.LoadAbsolute{Off: target, Size: 4})
	return append(head, tree(cover(spans(addrs), limit))...)
}

// arpQuestion: RFC 826, an Ethernet and IPv4 request.
func arpQuestion() []check {
	return []check{
		is(12, 2, unix.ETH_P_ARP), is(20, 2, 1),
		is(14, 2, 1), is(16, 2, unix.ETH_P_IP), is(18, 2, 0x0604),
	}
}

// ndpQuestion: RFC 4861 §4.3 and §7.1.1. The socket sees all IPv6 traffic, so what sorts most of it out comes first.
// Solicitations behind extension headers do not occur; fragments are forbidden (RFC 6980).
func ndpQuestion() []check {
	return []check{
		is(14+6, 1, unix.IPPROTO_ICMPV6), is(14+40, 2, 135<<8), is(14+7, 1, 255), is(12, 2, unix.ETH_P_IPV6),
	}
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

// assemble returns the whole filter for one socket.
func assemble(p protocol, index int, addrs []netip.Addr, limit int) ([]bpf.RawInstruction, error) {
	raw, err := bpf.Assemble(append(arrival(p, index), compile(p, addrs, limit)...))
	if err != nil {
		return nil, fmt.Errorf("assembling %s filter: %w", p, err)
	}
	return raw, nil
}

// setFilter replaces a socket's filter; the kernel exchanges it between two frames. Where the socket's option memory is
// too small (net.core.optmem_max, 20 KiB on older kernels) a coarser one is tried.
func setFilter(s bpf.Setter, p protocol, index int, addrs []netip.Addr) error {
	for limit := maxSpans; ; limit /= 2 {
		raw, err := assemble(p, index, addrs, limit)
		if err != nil {
			return err
		}
		err = s.SetBPF(raw)
		if err == nil || limit <= 1 || !errors.Is(err, unix.ENOMEM) {
			return err
		}
	}
}
