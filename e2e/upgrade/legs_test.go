package upgrade

import (
	"context"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// patience bounds the wait for anything; it is no measurement.
const patience = 15 * time.Minute

// TestUpgrade replaces the product, and goes back, under traffic: no new connection fails, none that is held breaks, no address
// changes, and neither address nor route moves.
func TestUpgrade(t *testing.T) { travel(t, forward(), back()) }

// leg is one change of the release.
type leg struct {
	name   string
	window time.Duration // for how long an address waits for a speaker, by all who know of it
	do     func(context.Context) error
}

// slow is the window of unhurried, brief that of the chart.
const (
	slow  = 60 * time.Second
	brief = 10 * time.Second
)

func forward() leg {
	return leg{"from " + base, slow, func(ctx context.Context) error { return install(ctx, "--reset-then-reuse-values") }}
}

func back() leg {
	return leg{"back", slow, func(ctx context.Context) error { return helm(ctx, "rollback", harness.Release) }}
}

// install upgrades to this release.
func install(ctx context.Context, more ...string) error {
	args := append([]string{"upgrade", harness.Release, "charts/belfry"}, harness.ImageFlags()...)
	return helm(ctx, append(args, more...)...)
}

// travel makes one leg after the other.
func travel(t *testing.T, legs ...leg) {
	s := harness.NewScene(t, stage, patience)
	if image := s.Kubectl("get", "daemonset", "--namespace", harness.Namespace, "belfry-speaker", "--output", "jsonpath={.spec.template.spec.containers[0].image}"); image != baseImage {
		t.Fatalf("%s runs, not the release to begin with", image)
	}
	f := start(s)
	for _, l := range legs {
		if t.Failed() {
			break // what comes next begins from something else than it should
		}
		t.Run(l.name, func(t *testing.T) { f.during(harness.NewScene(t, stage, patience), l) })
	}
}
