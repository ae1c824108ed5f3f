//go:build linux

package router

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// BIRD is a running BIRD.
type BIRD struct{ box *box }

// StartBIRD starts BIRD with a configuration.
func StartBIRD(ctx context.Context, p Place, conf string) (*BIRD, error) {
	script := "\nexec bird -f -c /etc/bird/bird.conf -s /run/bird/bird.ctl\n"
	b, err := open(p, script, map[string]string{"etc/bird/bird.conf": conf})
	if err != nil {
		return nil, fmt.Errorf("starting BIRD in %s: %w", p.NetNS, err)
	}
	r := &BIRD{b}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := until(ctx, func() error { _, err := r.Show(ctx, "status"); return err }); err != nil {
		b.kill()
		return nil, fmt.Errorf("starting BIRD in %s: %w", p.NetNS, err)
	}
	return r, nil
}

// Show runs one show command of birdc.
func (r *BIRD) Show(ctx context.Context, what string) (string, error) {
	return r.box.run(ctx, "birdc", "-s", "/run/bird/bird.ctl", "show "+what)
}

// Freeze stops BIRD where it is; Thaw lets it go on.
func (r *BIRD) Freeze() error { return r.signal(syscall.SIGSTOP) }

// Thaw ends Freeze.
func (r *BIRD) Thaw() error { return r.signal(syscall.SIGCONT) }

func (r *BIRD) signal(s syscall.Signal) error {
	child, err := r.box.child()
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(child)
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}

// Kill ends BIRD at once.
func (r *BIRD) Kill() { r.box.kill() }
