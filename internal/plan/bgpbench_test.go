package plan

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// BenchmarkMakeBGP plans 10,000 Services for 8 routers: all told the same, and each told something of its own.
func BenchmarkMakeBGP(b *testing.B) {
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own=%t", own), func(b *testing.B) {
			w := manyRoutes(b, own)
			b.ReportAllocs()
			for b.Loop() {
				if p := MakeBGP(w, "n1"); len(p.Peers["r7"].Routes) != len(w.Services) {
					b.Fatal(len(p.Peers["r7"].Routes))
				}
			}
		})
	}
}

// BenchmarkMakeBGPAffinity is the same with sessionAffinity: ClientIP everywhere, on 100 nodes.
func BenchmarkMakeBGPAffinity(b *testing.B) {
	w := manyRoutes(b, false)
	for i := range 100 {
		n := told(fmt.Sprintf("m%d", i))
		n.BGP.Established = []string{"r0", "r1"}
		w.Nodes = append(w.Nodes, n)
	}
	for i := range w.Services {
		w.Services[i].ClientIP = true
	}
	b.ReportAllocs()
	for b.Loop() {
		MakeBGP(w, "n1")
	}
}

func manyRoutes(b *testing.B, own bool) World {
	o := config()
	o.BGPPeers, o.BGPAdvertisements = nil, nil
	for i := range 8 {
		name := fmt.Sprintf("r%d", i)
		o.BGPPeers = append(o.BGPPeers, router(name, fmt.Sprintf("10.0.0.%d", i+1), 64501))
		if own {
			o.BGPAdvertisements = append(o.BGPAdvertisements, advertisement(name, i, func(s *v1beta1.BGPAdvertisementSpec) {
				s.Peers, s.Communities = []string{name}, []string{fmt.Sprintf("64500:%d", i)}
			}))
		}
	}
	if !own {
		o.BGPAdvertisements = append(o.BGPAdvertisements, advertisement("all", 0, nil))
	}
	return routing(b, o, func(w *World) {
		w.Services = nil
		for i := range 10000 {
			s := announcedService(fmt.Sprintf("s%05d", i))
			s.Held = []netip.Addr{netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})}
			w.Services = append(w.Services, s)
		}
	})
}
