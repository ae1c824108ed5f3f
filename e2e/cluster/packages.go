//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const standardPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// neededTools names the programs that nodes run besides Kubernetes, and the Debian packages that have them.
func neededTools() map[string]string {
	return map[string]string{
		"containerd": "containerd", "containerd-shim-runc-v2": "containerd", "ctr": "containerd", "runc": "runc", "nft": "nftables",
		"iptables": "iptables", "iptables-save": "iptables", "iptables-restore": "iptables",
		"ip6tables": "iptables", "ip6tables-save": "iptables", "ip6tables-restore": "iptables",
	}
}

const cniPackage = "containernetworking-plugins"

// tools is a directory with bin, lib and xtables for what the machine lacks, and the directory of the CNI plugins.
type tools struct {
	dir, cni string
}

// findTools takes what the machine has, and downloads and unpacks what it lacks; nothing is installed. Elsewhere than on Debian and
// its kin the error names what is missing.
func findTools(ctx context.Context, log io.Writer) (tools, error) {
	missing := map[string]string{} // tool to package
	for tool, pkg := range neededTools() {
		if !onMachine(tool) {
			missing[tool] = pkg
		}
	}
	cni := machineCNI()
	if cni == "" {
		missing["CNI plugins"] = cniPackage
	}
	packages := slices.Compact(slices.Sorted(maps.Values(missing)))
	dir, err := cacheDir("tools")
	if err != nil {
		return tools{}, err
	}
	t := tools{dir: filepath.Join(dir, digest([]byte(osRelease()), []byte(strings.Join(packages, " ")))), cni: cni}
	if cni == "" {
		t.cni = filepath.Join(t.dir, "cni")
	}
	if exists(t.dir) {
		return t, nil
	}
	unlock, err := lockFile(ctx, t.dir+".lock")
	if err != nil {
		return tools{}, err
	}
	defer unlock()
	if exists(t.dir) {
		return t, nil
	}
	if err := fetch(ctx, packages, t.dir, log); err != nil {
		return tools{}, fmt.Errorf("fetching %s, which this machine lacks: %w",
			strings.Join(slices.Sorted(maps.Keys(missing)), ", "), err)
	}
	return t, nil
}

func onMachine(tool string) bool {
	for _, dir := range filepath.SplitList(standardPath) {
		if info, err := os.Stat(filepath.Join(dir, tool)); err == nil && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// machineCNI returns the directory that has all plugins that the lab uses, or nothing.
func machineCNI() string {
	for _, dir := range []string{"/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"} {
		if !slices.ContainsFunc([]string{"bridge", "host-local", "loopback", "portmap"}, func(plugin string) bool {
			return !exists(filepath.Join(dir, plugin))
		}) {
			return dir
		}
	}
	return ""
}

// osRelease keeps the packages of two releases apart, which may share a home directory.
func osRelease() string {
	text, _ := os.ReadFile("/etc/os-release")
	return string(text)
}

// fetch downloads packages with all that they need and the machine lacks, and unpacks them into dir.
func fetch(ctx context.Context, packages []string, dir string, log io.Writer) error {
	partial, err := os.MkdirTemp(filepath.Dir(dir), ".partial-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(partial)
	if len(packages) > 0 {
		for _, tool := range []string{"apt-get", "dpkg"} {
			if _, err := exec.LookPath(tool); err != nil {
				return fmt.Errorf("this is no Debian or Ubuntu: install %s with your package manager", strings.Join(packages, ", "))
			}
		}
		fmt.Fprintf(log, "fetching %s (unpacked into the cache, not installed)\n", strings.Join(packages, ", "))
		if err := unpack(ctx, packages, partial); err != nil {
			return err
		}
	}
	if err := arrange(partial); err != nil {
		return err
	}
	return errors.Join(os.Chmod(partial, 0o755), os.Rename(partial, dir))
}

func unpack(ctx context.Context, packages []string, dir string) error {
	debs := filepath.Join(dir, "debs")
	if err := os.MkdirAll(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	download := append([]string{
		"apt-get", "install", "--download-only", "--no-install-recommends", "--yes", "--quiet",
		"--option=Dir::Cache::archives=" + debs, "--option=Debug::NoLocking=1", "--option=APT::Sandbox::User=root",
	}, packages...)
	if run(ctx, download...) != nil { // the machine's lists may be missing or old
		if err := run(ctx, "apt-get", "update", "--quiet"); err != nil {
			return err
		}
		if err := run(ctx, download...); err != nil {
			return err
		}
	}
	files, _ := filepath.Glob(filepath.Join(debs, "*.deb"))
	for _, deb := range files {
		if err := run(ctx, "dpkg", "--extract", deb, filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	return os.RemoveAll(debs)
}

// arrange links programs into bin, libraries into lib and iptables' extensions to xtables. The links are relative: nodes see the
// directory in another place.
func arrange(dir string) error {
	for _, sub := range []string{"bin", "lib"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	patterns := map[string][]string{
		"bin": {"root/usr/bin/*", "root/usr/sbin/*", "root/bin/*", "root/sbin/*"},
		"lib": {"root/usr/lib/*/*.so*", "root/lib/*/*.so*"},
	}
	for sub, globs := range patterns {
		for _, glob := range globs {
			files, _ := filepath.Glob(filepath.Join(dir, glob))
			for _, file := range files {
				if err := link(dir, file, filepath.Join(sub, filepath.Base(file))); err != nil {
					return err
				}
			}
		}
	}
	if multi := filepath.Join(dir, "bin", "xtables-nft-multi"); exists(multi) {
		for tool, pkg := range neededTools() { // an installed package has these as alternatives
			if pkg != "iptables" {
				continue
			}
			if err := os.Symlink("xtables-nft-multi", filepath.Join(dir, "bin", tool)); err != nil {
				return err
			}
		}
	}
	for name, glob := range map[string]string{"xtables": "root/usr/lib/*/xtables", "cni": "root/usr/lib/cni"} {
		if found, _ := filepath.Glob(filepath.Join(dir, glob)); len(found) > 0 {
			if err := link(dir, found[0], name); err != nil {
				return err
			}
		}
	}
	return nil
}

// link makes dir/name a relative link to the file, if there is none yet.
func link(dir, file, name string) error {
	path := filepath.Join(dir, name)
	if exists(path) {
		return nil
	}
	target, err := filepath.Rel(filepath.Dir(path), file)
	if err != nil {
		return err
	}
	return os.Symlink(target, path)
}

func run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", strings.Join(args[:2], " "), err, strings.Join(lines[max(0, len(lines)-4):], "; "))
	}
	return nil
}

// toolEnv is the environment of the lab's own processes; nothing of the caller's gets in, no proxy settings above all.
func toolEnv(bin, tools string) []string {
	return append([]string{"HOME=/root", "LC_ALL=C"}, toolPaths(bin, tools, standardPath)...)
}

// hostEnv is the caller's environment with the lab's tools added.
func hostEnv(bin, tools string) []string {
	return append(os.Environ(), toolPaths(bin, tools, os.Getenv("PATH")+":"+standardPath)...)
}

func toolPaths(bin, tools, path string) []string {
	return []string{
		"PATH=" + bin + ":" + tools + "/bin:" + path,
		"LD_LIBRARY_PATH=" + tools + "/lib", // holds only what the machine lacks
		"XTABLES_LIBDIR=" + tools + "/xtables",
	}
}

// Packages returns a directory in which the named Debian packages are unpacked, with what they need and the machine lacks. It downloads
// them once; nothing is installed.
func Packages(ctx context.Context, log io.Writer, names ...string) (string, error) {
	parent, err := cacheDir("packages")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, digest([]byte(osRelease()), []byte(strings.Join(names, " "))))
	unlock, err := lockFile(ctx, dir+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if !exists(dir) {
		if err := fetch(ctx, names, dir, log); err != nil {
			return "", fmt.Errorf("fetching %s: %w", strings.Join(names, ", "), err)
		}
	}
	return filepath.Join(dir, "root"), nil
}
