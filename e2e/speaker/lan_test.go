package speaker

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// patience bounds every wait for something that does happen.
const patience = 60 * time.Second

// eventually waits until f returns nil.
func eventually(t testing.TB, what string, f func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still not so after %s: %s: %v", patience, what, err)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var offices atomic.Int32

// administer joins h to the API server by a cable of its own, and returns the server's address there.
func administer(t testing.TB, h *nettest.Host) (server string) {
	t.Helper()
	n := offices.Add(1)
	here, name := nettest.Here(t), fmt.Sprintf("adm%d", n)
	nettest.Cable(here, name, h, "adm")
	t.Cleanup(func() { _ = here.Netlink.LinkDel(here.Link(name)) })
	server = fmt.Sprintf("10.255.%d.%d", n/64, n%64*4+1)
	here.Address(name, server+"/30")
	h.Address("adm", fmt.Sprintf("10.255.%d.%d/30", n/64, n%64*4+2))
	return server
}
