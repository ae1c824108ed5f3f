//go:build soak

package speaker

import (
	"fmt"
	"testing"
	"time"
)

const mostMemory = 120 << 10 // KiB of its own, of a speaker with eight routers and two thousand Services

// TestSoakEightPeers prints what such a speaker needs: how much of a core while nothing happens, and how much memory. With the
// race detector it needs more of both.
func TestSoakEightPeers(t *testing.T) {
	const routers, services = 8, 2000
	l := newScene(t)
	populate(t, 0, services, true)
	var ears []*ear
	for i := range routers {
		name, address := fmt.Sprintf("r%d", i+1), fmt.Sprintf("10.9.0.%d", 101+i)
		create(t, bgpPeer(name, address))
		ears = append(ears, newEar(t, l, name, address+"/24"))
	}
	n := newNode(t, l, "n1", node1+"/24")
	n.up("--log-level=info")
	for _, e := range ears {
		e.knows(services + 1) // and the one of the scene
	}
	for i := range routers {
		n.says(fmt.Sprintf("r%d", i+1), "it is established", established)
	}
	const pause, watch = 10 * time.Second, 2 * time.Minute
	<-time.After(pause) // what the start has left to do is no idleness
	before := n.CPU()
	<-time.After(watch)
	spent := n.CPU() - before
	own, program, most := n.Memory("RssAnon"), n.Memory("RssFile"), n.Memory("VmHWM")
	t.Logf("%d routers × %d Services: %.3f %% of a core over %s of idleness; resident %d MiB of its own and %d MiB of the program's file, at most so far %d MiB",
		routers, services, 100*spent.Seconds()/watch.Seconds(), watch, own>>10, program>>10, most>>10)
	if own > mostMemory && !raced {
		t.Errorf("%d KiB are resident, more than %d", own, mostMemory)
	}
}
