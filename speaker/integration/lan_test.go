package integration

import (
	"testing"
	"time"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// patience bounds every wait for something that does happen.
const patience = time.Minute

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, what, ok)
}

func eventuallyWithin(t testing.TB, patience time.Duration, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still not so after %s: %s", patience, what)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// host is a network namespace on the LAN.
type host struct {
	*nettest.Host
	t testing.TB
}

func newHost(t testing.TB) *host {
	t.Helper()
	return &host{nettest.NewHost(t), t}
}

func (h *host) mac() string { return h.MAC("eth0").String() }
