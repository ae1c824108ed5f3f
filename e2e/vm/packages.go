package vm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Packages returns the root of some packages with those that they need and the machine lacks. They are downloaded once and unpacked
// into the cache.
func Packages(names ...string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	release, _ := os.ReadFile("/etc/os-release") // two releases may share a home directory
	key := sha256.Sum256(append(release, strings.Join(names, " ")...))
	dir := filepath.Join(cache, "belfry", "vm", fmt.Sprintf("%x", key)[:16])
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	partial, err := os.MkdirTemp(filepath.Dir(dir), ".partial-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	if err := unpack(partial, names); err != nil {
		return "", fmt.Errorf("fetching %s: %w", strings.Join(names, ", "), err)
	}
	return dir, os.Rename(filepath.Join(partial, "root"), dir)
}

func unpack(dir string, names []string) error {
	debs := filepath.Join(dir, "debs")
	if err := os.MkdirAll(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	download := append([]string{
		"apt-get", "install", "--download-only", "--no-install-recommends", "--reinstall", "--yes", "--quiet",
		"--option=Dir::Cache::archives=" + debs, "--option=Debug::NoLocking=1", "--option=APT::Sandbox::User=root",
	}, names...)
	if command(download...) != nil { // the machine's lists may be missing or old
		if err := command("apt-get", "update", "--quiet"); err != nil {
			return err
		}
		if err := command(download...); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range files {
		if err := command("dpkg", "--extract", deb, filepath.Join(dir, "root")); err != nil {
			return err
		}
	}
	return nil
}

func command(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
