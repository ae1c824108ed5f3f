//go:build soak

package speaker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
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
	before := n.cpu()
	<-time.After(watch)
	spent := n.cpu() - before
	own, program, most := n.memory("RssAnon"), n.memory("RssFile"), n.memory("VmHWM")
	t.Logf("%d routers × %d Services: %.3f %% of a core over %s of idleness; resident %d MiB of its own and %d MiB of the program's file, at most so far %d MiB",
		routers, services, 100*spent.Seconds()/watch.Seconds(), watch, own>>10, program>>10, most>>10)
	if own > mostMemory && !raced {
		t.Errorf("%d KiB are resident, more than %d", own, mostMemory)
	}
}

// cpu returns what the speaker has spent so far: utime and stime of proc(5), in hundredths of a second.
func (n *node) cpu() time.Duration {
	n.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.Process.Process.Pid))
	must(n.t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from the third, state
	var ticks int
	for _, f := range fields[11:13] {
		k, err := strconv.Atoi(f)
		must(n.t, err)
		ticks += k
	}
	return time.Duration(ticks) * time.Second / 100
}

// memory returns a line of the speaker's status, in KiB.
func (n *node) memory(key string) int {
	n.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.Process.Process.Pid))
	must(n.t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			must(n.t, err)
			return kib
		}
	}
	n.t.Fatalf("no %s in %s", key, status)
	return 0
}
