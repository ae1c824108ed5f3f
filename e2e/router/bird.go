//go:build linux

package router

import (
	"context"
	"fmt"
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

// Kill ends BIRD at once.
func (r *BIRD) Kill() { r.box.kill() }
