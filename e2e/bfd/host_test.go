package bfd

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// patience bounds every wait for something that does happen.
const patience = 20 * time.Second

// host is a network namespace. One thread does all that must be done inside, and stays as long as the test: processes die
// with the thread that started them.
type host struct {
	*nettest.Host
	t    *testing.T
	jobs chan func()
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{Host: nettest.NewHost(t), t: t, jobs: make(chan func())}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = h.Do(func() error {
			for job := range h.jobs {
				job()
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		close(h.jobs)
		<-ended
	})
	return h
}

// in runs fn on the thread of the namespace.
func (h *host) in(fn func() error) error {
	done := make(chan error)
	h.jobs <- func() { done <- fn() }
	return <-done
}

// linkLocal returns the link-local address of an interface, which the kernel gives it soon after it has come up.
func (h *host) linkLocal(name string) (found netip.Addr) {
	h.t.Helper()
	until(h.t, "a link-local address of "+name, func() bool {
		addrs, err := h.Netlink.AddrList(h.Link(name), unix.AF_INET6)
		h.Must(err)
		for _, a := range addrs {
			if a.IP.IsLinkLocalUnicast() {
				found = netip.AddrFrom16([16]byte(a.IP.To16()))
			}
		}
		return found.IsValid()
	})
	return found
}

// until polls a condition of another program.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// lasts lets real time pass, in which a condition must hold.
func lasts(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); <-ticker.C {
		if !cond() {
			t.Fatalf("%s does not last", what)
		}
	}
}
