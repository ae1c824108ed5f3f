//go:build linux

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const cgroupRoot = "/sys/fs/cgroup"

// cgroup is the node's place below the machine's root cgroup, in every hierarchy.
func (r record) cgroup(n int) string { return "/" + r.plan().prefix() + "/" + nodeName(n) }

// hierarchies lists the mounted cgroup hierarchies: one with cgroup v2, one for each controller with v1.
func hierarchies() []string {
	if exists(filepath.Join(cgroupRoot, "cgroup.controllers")) {
		return []string{cgroupRoot}
	}
	var all []string
	entries, _ := os.ReadDir(cgroupRoot)
	for _, e := range entries {
		// Symbolic links are second names: cpu of cpu,cpuacct.
		if dir := filepath.Join(cgroupRoot, e.Name()); e.IsDir() && exists(filepath.Join(dir, "cgroup.procs")) {
			all = append(all, dir)
		}
	}
	return all
}

// makeCgroups makes a cgroup in every hierarchy, ready for a kubelet, which does not make its own root.
func makeCgroups(path string) error {
	for _, h := range hierarchies() {
		dir := h
		for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
			if err := delegate(dir); err != nil {
				return err
			}
			dir = filepath.Join(dir, name)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := errors.Join(inheritCPUs(dir), giveWeight(dir)); err != nil {
				return err
			}
		}
	}
	return nil
}

// giveWeight has a lab's pods run when they wake, however busy the machine. All of them are in one cgroup, which would count
// as much as a single process otherwise: among fifty that compile they would starve as no machine of a cluster does.
func giveWeight(dir string) error {
	for file, weight := range map[string]string{"cpu.shares": "32768", "cpu.weight": "3200"} { // v1, v2; 32 processes
		if !exists(filepath.Join(dir, file)) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(weight), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets children of a v2 cgroup have the controllers that the kubelet wants.
func delegate(dir string) error {
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // v1
	}
	if err != nil {
		return err
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	for _, c := range []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"} {
		if !slices.Contains(strings.Fields(string(available)), c) || slices.Contains(strings.Fields(string(enabled)), c) {
			continue
		}
		if err := os.WriteFile(control, []byte("+"+c), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// inheritCPUs fills what a new v1 cpuset leaves empty, and what nothing may run with while it is.
func inheritCPUs(dir string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		now, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || len(strings.TrimSpace(string(now))) > 0 || exists(filepath.Join(dir, "cgroup.controllers")) {
			continue
		}
		parent, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), parent, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups removes a cgroup and those below it, in every hierarchy. The processes in them are dead; the kernel may take a
// moment to notice.
func removeCgroups(ctx context.Context, path string) error {
	for _, h := range hierarchies() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		var last error
		err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
			last = removeTree(filepath.Join(h, path))
			return last == nil, nil
		})
		cancel()
		if err != nil {
			return errors.Join(err, last)
		}
	}
	return nil
}

// removeTree removes directories from the bottom up. The files in a cgroup are none that could be removed.
func removeTree(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	slices.Reverse(dirs)
	for _, d := range dirs {
		if e := os.Remove(d); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = e
		}
	}
	return err
}
