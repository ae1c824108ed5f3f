//go:build linux

package speakertest

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// Journal is what a process says. It is read while it is written.
type Journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *Journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *Journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// Start starts a program on a thread of the host, whose namespace the process inherits, and returns where its end is told. The
// thread stays until then, so that the process dies with the test (Pdeathsig looks at the thread).
func (j *Journal) Start(t testing.TB, h *nettest.Host, cmd *exec.Cmd) (exited chan error) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = j, j
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		exited <- h.Do(func() error {
			err := cmd.Start()
			if started <- err; err != nil {
				return err
			}
			return cmd.Wait()
		})
	}()
	must(t, <-started)
	return exited
}

// Judge fails the test over a race, once the process has ended, and shows the journal if the test has failed.
func (j *Journal) Judge(t testing.TB, whose string) {
	t.Helper()
	if strings.Contains(j.String(), "DATA RACE") {
		t.Errorf("data race in the %s", whose)
	}
	if t.Failed() {
		t.Logf("%s:\n%s", whose, j)
	}
}
