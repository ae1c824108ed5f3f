//go:build linux

package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/belfry-lb/belfry/internal/nettest/thread"
)

// Place is where daemons run.
type Place struct {
	// Packages is a directory with Debian packages unpacked: frr, bird2 and what they need.
	Packages string
	// NetNS is the path of a network namespace; empty means the caller's own.
	NetNS string
	// Dir is an empty directory for the daemons' configuration and logs.
	Dir string
}

// box is a group of processes in a mount and pid namespace of their own; they end together.
type box struct {
	place Place
	cmd   *exec.Cmd
	ended chan struct{}
}

// mounts makes the packages appear where they belong. The user that FRR wants is another name of root.
const mounts = `set -eu
mount -t overlay -o "lowerdir=$PACKAGES/usr:/usr" overlay /usr
mount -t overlay -o "lowerdir=$DIR/etc:/etc" overlay /etc
for d in /run /var/tmp /var/lib; do mount -t tmpfs tmpfs $d; done
mkdir -p /run/frr /run/bird /var/lib/frr /var/tmp/frr
`

// open starts a script in a box.
func open(p Place, script string, files map[string]string) (*box, error) {
	if err := writeFiles(p, files); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(filepath.Join(p.Dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	args := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", mounts + script}
	if p.NetNS != "" {
		args = append([]string{"nsenter", "--net=" + p.NetNS, "--"}, args...)
	}
	b := &box{place: p, cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	b.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr", "LC_ALL=C", "PACKAGES=" + p.Packages, "DIR=" + p.Dir}
	b.cmd.Stdout, b.cmd.Stderr = out, out
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	return b, b.start()
}

// start starts the processes from a thread that stays as long as they do: the kernel ends them with the thread.
func (b *box) start() error {
	started := make(chan error, 1)
	thread.Go(func() {
		defer close(b.ended)
		err := b.cmd.Start()
		started <- err
		if err == nil {
			_ = b.cmd.Wait() // reaps it; how it ended is in its log
		}
	})
	return <-started
}

func writeFiles(p Place, files map[string]string) error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	all := map[string]string{
		"etc/passwd": string(passwd) + "frr:x:0:0::/:/bin/false\n",
		"etc/group":  string(group) + "frr:x:0:\nfrrvty:x:0:\n",
	}
	maps.Copy(all, files)
	for name, text := range all {
		path := filepath.Join(p.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// run runs a command inside the box.
func (b *box) run(ctx context.Context, args ...string) (string, error) {
	inside, err := b.child()
	if err != nil {
		return "", err
	}
	args = append([]string{"--target", inside, "--mount", "--net", "--pid", "--"}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	cmd.Env = b.cmd.Env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("running %q: %w: %s %s", strings.Join(args[5:], " "), err, bytes.TrimSpace(out), bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), nil
}

// child finds the box's first process: nsenter becomes unshare, which has one child.
func (b *box) child() (string, error) {
	pid := b.cmd.Process.Pid
	out, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if fields := strings.Fields(string(out)); err == nil && len(fields) > 0 {
		return fields[0], nil
	}
	return "", errors.Join(fmt.Errorf("the daemons in %s have ended, see %s", b.place.NetNS, filepath.Join(b.place.Dir, "log")), err)
}

// kill ends all processes at once, as a power cut does, and waits until they are gone.
func (b *box) kill() {
	_ = b.cmd.Process.Kill() // fails if it has ended, which is as good
	<-b.ended
}

// until asks again and again until f succeeds or ctx ends; then its last error is returned.
func until(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
