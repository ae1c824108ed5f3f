package l2

import (
	"fmt"
	"net/netip"
	"testing"
)

var sizes = []int{1, 100, 10_000, 100_000}

// BenchmarkLookup is the decision on one frame: it must not depend on the number of addresses.
func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			list := many(n)
			all := map[netip.Addr]answer{}
			for _, a := range list {
				all[a] = answer{role: owned}
			}
			var t table
			t.update(all)
			for i := 0; b.Loop(); i++ {
				if !t.find(list[i*7919%n]).speaks() {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkCompile is the filter for a new set of addresses, the worst case of which are addresses that do not adjoin.
func BenchmarkCompile(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var list []netip.Addr
			for i := range uint32(n) {
				list = append(list, v4(0x0a000000+i*3))
			}
			f := filterOf(protocolARP, list, nil)
			for b.Loop() {
				if _, err := f.assemble(maxSpans); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSolicitation is our own work from a solicitation's bytes to the advertisement's.
func BenchmarkSolicitation(b *testing.B) {
	var t table
	t.update(map[netip.Addr]answer{oneV6: {role: owned, mac: MAC(macA)}})
	frame := nsFrame(oneV6, nil)
	for b.Loop() {
		h := hearNDP(frame, MAC(macA))
		a := t.find(h.asked)
		if _, err := advertise(MAC(macA), ourIface.LinkLocal, h.asked, a).inReplyTo(h).frame(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequestToReply is the whole way over a cable: a frame is sent, answered by the responder in another namespace,
// and read, with both kernels and the scheduler in between.
func BenchmarkRequestToReply(b *testing.B) {
	for _, n := range []int{10, 1000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			node, neighbour := pair(b)
			mac, wire := node.mac("eth0"), neighbour.tap("eth0")
			a := node.announce()
			d := Desired{Entries: map[netip.Addr]Entry{oneV6: {}}}
			for _, x := range many(n) {
				d.Entries[x] = Entry{}
			}
			if _, err := a.Apply(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			all := many(n)
			wire.until("end of the bursts", nothing, counted(2*burstCount, speaks(mac, all[n-1])))
			for name, frame := range map[string][]byte{"arp": wire.asks(all[0], mac), "ndp": wire.solicits(oneV6, nil)} {
				b.Run(name, func(b *testing.B) {
					answer := func(f []byte) bool { return f[0]&1 == 0 && speaks(mac, all[0], oneV6)(f) }
					for b.Loop() {
						wire.send(frame)
						wire.next("answer", answer)
					}
				})
			}
		})
	}
}
