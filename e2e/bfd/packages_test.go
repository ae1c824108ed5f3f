package bfd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/vm"
)

// router is a directory for one router's files, and the way to run its programs.
type router struct {
	t    *testing.T
	host *host
	root string // of the packages
	dir  string
}

func newRouter(t *testing.T, h *host) router {
	t.Helper()
	root, err := vm.Packages("frr", "bird2")
	if err != nil {
		t.Fatal(err)
	}
	r := router{t, h, root, t.TempDir()}
	r.write("passwd", "root:x:0:0::/:/bin/sh\nfrr:x:0:0::/:/bin/false\n")
	r.write("group", "root:x:0:\nfrr:x:0:\nfrrvty:x:0:\n")
	return r
}

func (r router) path(name string) string { return filepath.Join(r.dir, name) }

func (r router) write(name, text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

// command returns a command of the packages with their libraries, in a mount namespace of its own in which the users of FRR exist.
func (r router) command(args ...string) *exec.Cmd {
	users, groups := r.path("passwd"), r.path("group")
	script := `mount --bind "$0" /etc/passwd && mount --bind "$1" /etc/group && shift && exec "$@"`
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, users, groups}, args...)...)
	libraries, _ := filepath.Glob(filepath.Join(r.root, "usr/lib/*"))
	for _, l := range libraries {
		libraries = append(libraries, filepath.Join(l, "frr"))
	}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"), "LC_ALL=C")
	cmd.SysProcAttr = &unix.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	return cmd
}

// daemon starts a command that stays in the foreground, until the test ends.
func (r router) daemon(args ...string) *os.Process {
	r.t.Helper()
	cmd := r.command(args...)
	log, err := os.OpenFile(r.path("output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := r.host.in(cmd.Start); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if r.t.Failed() {
			text, _ := os.ReadFile(r.path("output"))
			r.t.Logf("%s:\n%s", args[0], text)
		}
	})
	return cmd.Process
}

// run runs a command to its end and returns what it printed.
func (r router) run(args ...string) (string, error) {
	cmd := r.command(args...)
	var out []byte
	err := r.host.in(func() (err error) {
		out, err = cmd.Output()
		return err
	})
	return string(out), err
}
