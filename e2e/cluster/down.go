//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Down ends the lab: no process, namespace, mount, cgroup or file of it is left. A lab that is down already is no error.
func (c *Cluster) Down(ctx context.Context) error {
	err := Remove(ctx, c.rec.Name)
	if errors.Is(err, ErrNotRunning) {
		err = nil
	}
	if err == nil {
		c.spawn.close()
	}
	return err
}

// Remove ends the lab of that name, or removes its leftovers. The error is ErrNotRunning if there is neither.
func Remove(ctx context.Context, name string) error {
	unlock, err := lockLab(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := readRecord(name)
	if err != nil {
		return err
	}
	if err := remove(ctx, rec); err != nil {
		return fmt.Errorf("removing lab %s: %w", name, err)
	}
	return nil
}

// remove takes away all that a record names, from the processes to the record itself. The caller holds the lab's lock.
func remove(ctx context.Context, rec record) error {
	if err := killAll(ctx, rec); err != nil {
		return err
	}
	if err := removeNetwork(rec); err != nil {
		return err
	}
	if err := removeCgroups(ctx, "/"+rec.plan().prefix()); err != nil {
		return err
	}
	if exists(filepath.Join(rec.StateDir, marker)) {
		if err := os.RemoveAll(rec.StateDir); err != nil {
			return err
		}
	}
	return os.Remove(recordPath(rec.Name))
}

// killAll ends the processes that were started, and then whatever else was started in the lab's namespaces.
func killAll(ctx context.Context, rec record) error {
	started := slices.Collect(maps.Values(rec.Processes))
	if rec.BootID != bootID() {
		started = nil
	}
	if err := kill(ctx, started); err != nil {
		return err
	}
	namespaces := map[uint64]bool{}
	for _, name := range rec.namespaces() {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(netnsDir, name), &st) == nil {
			namespaces[st.Ino] = true
		}
	}
	return poll(ctx, 10*time.Millisecond, func() (bool, error) {
		rest := residents(namespaces)
		return len(rest) == 0, kill(ctx, rest)
	})
}

func kill(ctx context.Context, all []process) error {
	for _, p := range all {
		if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	for _, p := range all {
		if err := p.gone(ctx); err != nil {
			return fmt.Errorf("waiting for process %d to end: %w", p.PID, err)
		}
	}
	return nil
}
