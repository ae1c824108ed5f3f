//go:build linux

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Preflight says in one line what this machine lacks to run a lab, and what to do about it. Further tools that the caller needs
// may be named; nil means that all is there.
func Preflight(tools ...string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("the lab makes network namespaces, mounts and cgroups: run this as root (sudo -E keeps your Go settings)")
	}
	for _, tool := range append([]string{"go", "nsenter", "unshare", "mount"}, tools...) {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%s is not in PATH: install it (Debian: apt-get install %s) and try again", tool, packageOf(tool))
		}
	}
	if !exists("/proc/sys/net/ipv6") {
		return fmt.Errorf("this kernel has IPv6 switched off, and the lab is dual stack: boot without ipv6.disable=1")
	}
	if len(hierarchies()) == 0 {
		return fmt.Errorf("no cgroups are mounted below %s: the kubelet needs them", cgroupRoot)
	}
	return bridgeFilter()
}

func preflight() error { return Preflight() }

func packageOf(tool string) string {
	known := map[string]string{"go": "golang-go", "nsenter": "util-linux", "unshare": "util-linux", "mount": "mount"}
	return or(known[tool], tool)
}

// bridgeFilter makes sure that traffic between pods of one node meets the Services' rules, which sit above the bridge.
func bridgeFilter() error {
	const sysctl = "/proc/sys/net/bridge/bridge-nf-call-iptables"
	if exists(sysctl) {
		return nil
	}
	if out, err := exec.Command("modprobe", "br_netfilter").CombinedOutput(); err != nil || !exists(sysctl) {
		return fmt.Errorf("the kernel module br_netfilter is needed and cannot be loaded: %s", strings.TrimSpace(string(out)))
	}
	return nil
}

// repositoryRoot finds the directory of the project's go.mod, upward from the working directory.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/belfry-lb/belfry\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("the working directory is not inside the project: change into it and try again")
		}
	}
}
