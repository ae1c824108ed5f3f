//go:build soak

package bfd

import (
	"flag"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var soak = flag.Duration("bfd.soak", 10*time.Minute, "how long TestSoakBusy goes on")

// TestMain: ten minutes are what go test gives a package unless told otherwise, and what TestSoakBusy takes by itself. So
// the package sets itself no limit; that of go test comes a minute later.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.timeout", "0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// TestSoakBusy keeps a hundred sessions at 50 ms × 3 between two engines while every core is busy. A session may go down only when a
// control in the same window shows that the machine itself stood still: a plain ticker that overslept, or a session between two
// BIRDs with equal timers that went down as well. All counts are shown.
func TestSoakBusy(t *testing.T) {
	const sessions = 100
	near, far, start := crowd(t, sessions, timers(50*ms, 3))
	start()
	birds := startBirds(t)
	burn(t)

	machine := startControl(t)
	var ours, theirs []time.Time
	last, birdSince := near.downs()+far.downs(), birds.since()
	ticker := time.NewTicker(10 * ms)
	defer ticker.Stop()
	nextLook := time.Now()
	for end := nextLook.Add(*soak); time.Now().Before(end); <-ticker.C {
		now := time.Now()
		if downs := near.downs() + far.downs(); downs != last {
			ours = append(ours, slices.Repeat([]time.Time{now}, int(downs-last))...)
			last = downs
		}
		if now.After(nextLook) {
			if since := birds.since(); since != birdSince {
				theirs, birdSince = append(theirs, now), since
			}
			nextLook = now.Add(time.Second)
		}
	}
	unexplained := slices.DeleteFunc(slices.Clone(ours), func(at time.Time) bool {
		return machine.explains(at) || slices.ContainsFunc(theirs, func(c time.Time) bool { return c.Sub(at).Abs() < 2*time.Second })
	})
	stalls, longest := machine.counts()
	t.Logf("%s, %d cores busy, %d sessions at 50 ms × 3", *soak, runtime.NumCPU(), sessions)
	t.Logf("ours:    %d downs, %d of which no control explains", len(ours), len(unexplained))
	t.Logf("control: a ticker stood still %d times for %s or more, at most %s; a session between two BIRDs changed its state %d times", stalls, stall, longest, len(theirs))
	for i, at := range unexplained {
		if i == 0 || at.Sub(unexplained[i-1]) > time.Second {
			t.Error("unexplained downs began at", at)
		}
	}
}

// startBirds starts two BIRDs that watch each other, and returns the first.
func startBirds(t *testing.T) *bird {
	t.Helper()
	a, b := pair(t)
	options := birdOptions(birdTimers(50*ms, 3, ""))
	first := startBIRD(t, a, options+"neighbor "+router4+" local "+node4+";")
	startBIRD(t, b, options+"neighbor "+node4+" local "+router4+";")
	until(t, "BIRD↔BIRD", func() bool { return first.state() == "Up" })
	return first
}

// since is what BIRD says of when its session changed last.
func (b *bird) since() string {
	out, _ := b.birdc("show bfd sessions")
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 6 && f[0] != "IP" {
			return f[2] + f[3]
		}
	}
	return ""
}

// burn keeps every core busy.
func burn(t *testing.T) {
	t.Helper()
	for range runtime.NumCPU() {
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
}
