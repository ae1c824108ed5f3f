//go:build guest

package bfd

import (
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bfd"
)

// TestGuest runs in the virtual machine of TestVRF: sessions in a VRF and in none side by side, on the same ports.
func TestGuest(t *testing.T) {
	node, router := pair(t)
	node.Must(node.Netlink.LinkAdd(&netlink.Vrf{LinkAttrs: nettest.Named("red"), Table: 100}))
	node.Up("red")
	node.Down("eth0") // takes the IPv6 addresses away
	node.Enslave("red", "eth0")
	node.Up("eth0")
	node.Address("eth0", node6+"/64")
	nettest.Cable(node.Host, "eth1", router.Host, "eth1")
	node.Address("eth1", "10.8.0.1/24")
	router.Address("eth1", "10.8.0.2/24")

	set := timers(300*ms, 3)
	ours, theirs := startOurs(t, node), startOurs(t, router)
	inside := map[bfd.Path]bfd.Settings{
		{Peer: addr(router4), VRF: "red"}:                                     set,
		{Peer: addr(router6), VRF: "red", Interface: "eth0"}:                  set,
		{Peer: router.linkLocal("eth0"), VRF: "red", Interface: "eth0"}:       set,
		{Peer: addr(router4), Local: addr(node4), VRF: "red", MultiHop: true}: set,
		{Peer: addr("10.8.0.2")}:                                              set,
		{Peer: addr("10.8.0.2"), MultiHop: true}:                              set,
	}
	ours.apply(inside)
	theirs.apply(map[bfd.Path]bfd.Settings{
		{Peer: addr(node4)}:                             set,
		{Peer: addr(node6)}:                             set,
		{Peer: node.linkLocal("eth0").WithZone("eth0")}: set,
		{Peer: addr(node4), MultiHop: true}:             set,
		{Peer: addr("10.8.0.1")}:                        set,
		{Peer: addr("10.8.0.1"), MultiHop: true}:        set,
	})
	for path := range inside {
		ours.await(path, "coming up", up)
	}
	if n := ours.downs() + theirs.downs(); n != 0 {
		t.Errorf("%d downs", n)
	}
	router.Down("eth0")
	for path := range inside {
		if path.VRF == "red" {
			ours.await(path, "the cut in the VRF", down)
		} else if s := ours.Running().Sessions[path]; s.Downs != 0 {
			t.Errorf("outside of the VRF: %+v", s)
		}
	}
}
