package bfd

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
	"github.com/belfry-lb/belfry/speaker/bfd"
)

// crowd is two engines with many sessions between them.
func crowd(t *testing.T, sessions int, set bfd.Settings) (near, far *ours, started func()) {
	t.Helper()
	node, router := newHost(t), newHost(t)
	nettest.Cable(node.Host, "eth0", router.Host, "eth0")
	node.Address("eth0", "10.20.255.1/30")
	router.Address("eth0", "10.20.255.2/30")
	node.Route("10.20.0.0/17", "10.20.255.2") // one neighbour for all: the kernel's table takes no thousand
	here, there := map[bfd.Path]bfd.Settings{}, map[bfd.Path]bfd.Settings{}
	for i := range sessions {
		a := fmt.Sprintf("10.20.%d.%d", i/250, 1+i%250)
		router.Address("eth0", a+"/32")
		here[bfd.Path{Peer: addr(a), MultiHop: true}] = set
		there[bfd.Path{Peer: addr("10.20.255.1"), Local: addr(a), MultiHop: true}] = set
	}
	near, far = startLogged(t, node, logr.Discard()), startLogged(t, router, logr.Discard()) // each would log a thousand lines
	return near, far, func() {
		t.Helper()
		near.apply(here)
		far.apply(there)
		until(t, "all coming up", func() bool { return near.up() == sessions && far.up() == sessions })
	}
}

func (o *ours) up() (n int) {
	for _, s := range o.Running().Sessions {
		if up(s) {
			n++
		}
	}
	return n
}

func (o *ours) downs() (n uint64) {
	for _, s := range o.Running().Sessions {
		n += s.Downs
	}
	return n
}

func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// TestThousandSessions: what a session costs. Both ends are in this process, so each has half of it.
func TestThousandSessions(t *testing.T) {
	const seconds = 10
	sessions := 1000
	if raced { // everything costs ten times as much
		sessions = 100
	}
	near, far, start := crowd(t, sessions, timers(300*ms, 3))
	before := heap()
	start()
	bytes := (heap() - before) / uint64(2*sessions)

	machine, used, began := startControl(t), cpu(t), time.Now()
	excused := near.downs() + far.downs()
	lasts(t, seconds*time.Second, "staying up", func() bool {
		downs := near.downs() + far.downs()
		if machine.explains(time.Now()) {
			excused = downs
		}
		return downs == excused
	})
	share := float64(cpu(t)-used) / float64(time.Since(began)) / 2
	t.Logf("one end of %d sessions at 300 ms: %.1f %% of a core, %d bytes a session", sessions, 100*share, bytes)
	if bytes > 5000 && !raced {
		t.Errorf("a session takes %d bytes", bytes)
	}
}
