//go:build linux

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest/thread"
)

// process names a process for good: process ids are used again, a pair of id and start time is not before the next boot.
type process struct {
	PID int `json:"pid"`
	// Start is in clock ticks since boot, field 22 of /proc/<pid>/stat.
	Start uint64 `json:"start"`
}

func currentProcess() process { p, _ := identify(os.Getpid()); return p }

// identify says which process has the id now; an error means none, or one that is dead and only waits for its parent.
func identify(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The command's name, in parentheses, may hold anything; what follows the last parenthesis does not.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, os.ErrProcessDone
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return process{PID: pid, Start: start}, err
}

func (p process) alive() bool {
	now, err := identify(p.PID)
	return err == nil && p.PID > 0 && now == p
}

// signal reaches this process or none: the handle is taken first and the identity checked after.
func (p process) signal(sig syscall.Signal) error {
	if p.PID <= 0 {
		return os.ErrProcessDone
	}
	handle, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return os.ErrProcessDone
	}
	defer unix.Close(handle)
	if !p.alive() {
		return os.ErrProcessDone
	}
	if err := unix.PidfdSendSignal(handle, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", p.PID, err)
	}
	return nil
}

// gone waits until the process has ended.
func (p process) gone(ctx context.Context) error {
	return poll(ctx, 5*time.Millisecond, func() (bool, error) { return !p.alive(), nil })
}

// bootID tells whether a record was written before the machine's last boot.
func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}

// spawner starts the processes of one lab. Where the lab belongs to this process they must die with it, and the kernel ties
// that to the *thread* that forked: so one goroutine, locked to its thread, forks them all and stays as long as the process.
type spawner struct {
	jobs chan func()
}

func newSpawner(owned bool) *spawner {
	s := &spawner{}
	if owned {
		jobs := make(chan func())
		thread.Go(func() {
			for job := range jobs {
				job()
			}
		})
		s.jobs = jobs
	}
	return s
}

// close ends the thread, and with it whatever it started and nobody stopped.
func (s *spawner) close() {
	if s.jobs != nil {
		close(s.jobs)
		s.jobs = nil
	}
}

// start runs a command in a session of its own (a terminal's Ctrl-C must not reach it), its output in a file.
func (s *spawner) start(log string, env []string, args ...string) (process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process{}, err
	}
	defer out.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := s.fork(cmd); err != nil {
		return process{}, fmt.Errorf("starting %s: %w", strings.TrimSuffix(filepath.Base(log), ".log"), err)
	}
	p, err := identify(cmd.Process.Pid)
	go func() { _ = cmd.Wait() }() // reaps it; the wait ends with the process
	if err != nil {
		return process{}, fmt.Errorf("starting %s: it ended at once, see %s", args[0], log)
	}
	return p, nil
}

func (s *spawner) fork(cmd *exec.Cmd) error {
	if s.jobs == nil {
		return cmd.Start()
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	done := make(chan error, 1)
	s.jobs <- func() { done <- cmd.Start() }
	return <-done
}

// residents finds the processes that live, with every thread, in one of the given network namespaces (by inode). A process
// that only visits with one thread, such as a test that dials out of a namespace, is none.
func residents(namespaces map[uint64]bool) []process {
	var found []process
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() || !allInside(dir, namespaces) {
			continue
		}
		if p, err := identify(pid); err == nil {
			found = append(found, p)
		}
	}
	return found
}

func allInside(proc string, namespaces map[uint64]bool) bool {
	tasks, _ := filepath.Glob(proc + "/task/*/ns/net")
	for _, task := range tasks {
		var st unix.Stat_t
		if err := unix.Stat(task, &st); err != nil || !namespaces[st.Ino] {
			return false
		}
	}
	return len(tasks) > 0
}
