//go:build linux

package router

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// FRR is a running FRR: zebra, bgpd and bfdd.
type FRR struct{ box *box }

const startFRR = `
zebra -A 127.0.0.1 --log file:$DIR/zebra.log --log-level informational &
while [ ! -S /run/frr/zserv.api ]; do sleep 0.02; done
bgpd -A 127.0.0.1 --log file:$DIR/bgpd.log --log-level debugging &
bfdd -A 127.0.0.1 --log file:$DIR/bfdd.log --log-level informational &
while :; do wait || :; done
`

// StartFRR starts FRR with a configuration and waits until all of it has been taken.
func StartFRR(ctx context.Context, p Place, conf string) (*FRR, error) {
	b, err := open(p, startFRR, map[string]string{
		"etc/frr/frr.conf": "frr defaults traditional\n" + conf, "etc/frr/vtysh.conf": "service integrated-vtysh-config\n",
		// Else vtysh does nothing, and is content.
		"etc/pam.d/frr": "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n",
	})
	if err != nil {
		return nil, fmt.Errorf("starting FRR in %s: %w", p.NetNS, err)
	}
	f := &FRR{b}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err = until(ctx, func() error {
		out, err := b.run(ctx, "vtysh", "-c", "show daemons")
		for _, daemon := range []string{"zebra", "bgpd", "bfdd"} {
			if err == nil && !strings.Contains(out, daemon) {
				err = fmt.Errorf("%s has not started", daemon)
			}
		}
		return err
	})
	if err == nil {
		_, err = b.run(ctx, "vtysh", "-b")
	}
	if err == nil {
		err = f.took(ctx, conf)
	}
	if err != nil {
		b.kill()
		return nil, fmt.Errorf("starting FRR in %s: %w", p.NetNS, err)
	}
	return f, nil
}

// took checks that the routers of a configuration are there: vtysh is content when it reaches only some of the daemons.
func (f *FRR) took(ctx context.Context, conf string) error {
	running, err := f.Show(ctx, "show running-config")
	if err != nil {
		return err
	}
	for line := range strings.Lines(conf) {
		if strings.HasPrefix(line, "router ") && !strings.Contains(running, line) {
			return fmt.Errorf("%q is not in the running configuration", strings.TrimSpace(line))
		}
	}
	return nil
}

// Show runs one command of vtysh.
func (f *FRR) Show(ctx context.Context, command string) (string, error) {
	return f.box.run(ctx, "vtysh", "-c", command)
}

// JSON runs one command of vtysh and decodes its output.
func (f *FRR) JSON(ctx context.Context, command string, into any) error {
	out, err := f.Show(ctx, command+" json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("reading the answer to %q: %w", command, err)
	}
	return nil
}

// Configure enters lines of configuration.
func (f *FRR) Configure(ctx context.Context, lines ...string) error {
	args := []string{"vtysh", "-c", "configure terminal"}
	for _, l := range lines {
		args = append(args, "-c", l)
	}
	_, err := f.box.run(ctx, args...)
	return err
}

// Log returns what bgpd has logged.
func (f *FRR) Log() (string, error) {
	text, err := os.ReadFile(filepath.Join(f.box.place.Dir, "bgpd.log"))
	return string(text), err
}

// Freeze stops bgpd where it is, as a router whose routing process hangs; Thaw lets it go on.
func (f *FRR) Freeze(ctx context.Context) error { return f.signal(ctx, "-STOP", "bgpd") }

// Thaw ends Freeze.
func (f *FRR) Thaw(ctx context.Context) error { return f.signal(ctx, "-CONT", "bgpd") }

// FreezeBFD stops bfdd where it is; ThawBFD lets it go on.
func (f *FRR) FreezeBFD(ctx context.Context) error { return f.signal(ctx, "-STOP", "bfdd") }

// ThawBFD ends FreezeBFD.
func (f *FRR) ThawBFD(ctx context.Context) error { return f.signal(ctx, "-CONT", "bfdd") }

func (f *FRR) signal(ctx context.Context, signal, daemon string) error {
	_, err := f.box.run(ctx, "sh", "-c", "kill "+signal+" $(cat /run/frr/"+daemon+".pid)")
	return err
}

// Kill ends all daemons at once.
func (f *FRR) Kill() { f.box.kill() }
