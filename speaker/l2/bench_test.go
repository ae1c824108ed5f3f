package l2

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
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

// BenchmarkApply is the cost of a pass among 10,000 addresses on a real socket, of which one changes or none.
func BenchmarkApply(b *testing.B) {
	const n = 10_000
	for name, step := range map[string]uint32{"adjoining": 1, "scattered": 7} {
		node, _ := pair(b)
		a := node.announce()
		last := 0
		desired := func(generation int) Desired {
			d := Desired{Entries: make(map[netip.Addr]Entry, n)}
			for i := range uint32(n) {
				d.Entries[v4(0x0a000000+i*step)] = Entry{Monitor: true}
			}
			for i := range uint32(generation) % 2 {
				d.Entries[v4(0x0b000000+i)] = Entry{Monitor: true}
			}
			return d
		}
		pair := []Desired{desired(0), desired(1)}
		copied := []Desired{desired(0), desired(1)} // equal, but not the same maps
		if _, err := a.Apply(b.Context(), pair[0]); err != nil {
			b.Fatal(err)
		}
		for what, which := range map[string]func(int) Desired{
			"nothing": func(i int) Desired { return [][]Desired{pair, copied}[i%2][last] },
			"one":     func(i int) Desired { last = i % 2; return pair[last] },
		} {
			b.Run(name+"/"+what, func(b *testing.B) {
				before := cpu() // tells more than the clock where the machine is busy
				for i := 1; b.Loop(); i++ {
					if _, err := a.Apply(b.Context(), which(i)); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpu()-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// timedWire measures our own time: from a question's being read to its answer's having been sent.
type timedWire struct {
	wire
	begun time.Time
	took  *[]time.Duration
}

func (w *timedWire) read() (heard, error) {
	if !w.begun.IsZero() {
		*w.took = append(*w.took, time.Since(w.begun))
	}
	h, err := w.wire.read()
	w.begun = time.Now()
	return h, err
}

// BenchmarkOwnTime has a responder answer on a real cable and reports the median and the 99th percentile of its own share;
// parsing the frame, a microsecond, is left out.
func BenchmarkOwnTime(b *testing.B) {
	for _, n := range []int{10, 1000, 20_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			node, neighbour := pair(b)
			p := neighbour.tap("eth0")
			var took []time.Duration
			a := node.announceOn(func(w wire) wire { return &timedWire{wire: w, took: &took} })
			mac, all := node.MAC("eth0"), many(n)
			d := Desired{Entries: map[netip.Addr]Entry{}}
			for _, x := range all { // a stand-in sends no bursts, of which the neighbour would lose some
				d.Entries[x] = Entry{Monitor: true, As: map[string]MAC{"eth0": friendMAC}}
			}
			d.Entries[all[0]] = Entry{Monitor: true}
			if _, err := a.Apply(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			p.until("end of the burst", nothing, counted(2*burstCount, speaks(mac, all[0])))
			frame := p.asks(all[0], mac)
			for b.Loop() {
				p.send(frame)
				p.next("answer", func(f []byte) bool { return f[0]&1 == 0 && speaks(mac, all[0])(f) })
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "own-median-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "own-p99-ns")
		})
	}
}

// BenchmarkForeignRequests is the whole process's processor time for one foreign broadcast request on the cable, sending
// included; what the announcer costs is the difference to "none",
// and what of that the filter's size costs the difference to "deaf", a socket that hears nothing. %core is what the announcer would cost
// at 20,000 requests a second, sending left out: 1 µs is 2 % of a core.
func BenchmarkForeignRequests(b *testing.B) {
	all := func(n int, step uint32) (out []netip.Addr) {
		for i := range uint32(n) {
			out = append(out, v4(0x0a000000+i*step))
		}
		return out
	}
	alone := 0.0 // what an operation costs without an announcer
	for _, tt := range []struct {
		name string
		list []netip.Addr
	}{
		{"none", nil}, {"deaf", []netip.Addr{}}, {"10", all(10, 3)}, {"1000", all(1000, 3)}, {"20000-adjoining", all(20_000, 1)}, {"20000-scattered", all(20_000, 3)},
	} {
		b.Run(tt.name, func(b *testing.B) {
			node, neighbour := pair(b)
			var w *packet.Conn
			neighbour.Must(neighbour.Do(func() (err error) {
				w, err = packet.Listen(&net.Interface{Index: neighbour.Link("eth0").Attrs().Index, Name: "eth0"}, packet.Raw, marked, nil)
				return err
			}))
			defer w.Close()
			if tt.list != nil {
				d := Desired{Entries: map[netip.Addr]Entry{}}
				for _, x := range tt.list { // a stand-in sends no bursts, which would be measured
					d.Entries[x] = Entry{Monitor: true, As: map[string]MAC{"eth0": friendMAC}}
				}
				a := node.announceWith(logr.Discard())
				if _, err := a.Apply(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
			frame := arpRequest(two)
			copy(frame[6:], neighbour.MAC("eth0"))
			copy(frame[22:], neighbour.MAC("eth0"))
			copy(frame[28:], netip.MustParseAddr("192.0.2.9").AsSlice())
			before := cpu()
			for i := uint32(0); b.Loop(); i++ {
				copy(frame[38:], v4(0x0a000000+i%20_000*3+1).AsSlice()) // never one of the scattered
				if i%20_000 < 20_000/3 {
					copy(frame[38:], v4(0xc0000300+i%200).AsSlice())
				}
				if _, err := w.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]}); err != nil {
					b.Fatal(err)
				}
			}
			each := float64(cpu()-before) / float64(b.N)
			if tt.list == nil {
				alone = each
			}
			b.ReportMetric(each, "cpu-ns/op")
			b.ReportMetric((each-alone)*20_000/1e9*100, "%core")
		})
	}
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
			mac, wire := node.MAC("eth0"), neighbour.tap("eth0")
			a := node.announce()
			all := many(n)
			d := Desired{Entries: map[netip.Addr]Entry{}}
			for _, x := range all { // a stand-in sends no bursts, of which the neighbour would lose some
				d.Entries[x] = Entry{As: map[string]MAC{"eth0": friendMAC}}
			}
			d.Entries[all[0]], d.Entries[oneV6] = Entry{}, Entry{}
			if _, err := a.Apply(b.Context(), d); err != nil {
				b.Fatal(err)
			}
			wire.until("end of the burst", nothing, counted(2*burstCount, speaks(mac, all[0])))
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
