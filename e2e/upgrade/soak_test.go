//go:build soak

package upgrade

import (
	"context"
	"testing"
)

// TestSoakUpgrade does the same with more legs. The last ones are with the chart's own values; the first shows whether this
// machine is too busy to tell what an upgrade does to connections: they break although nothing is done.
func TestSoakUpgrade(t *testing.T) {
	travel(t,
		leg{"nothing is done", slow, func(context.Context) error { return nil }},
		forward(),
		back(),
		leg{"forward again, as the chart is", brief, func(ctx context.Context) error { return install(ctx, "--reset-values") }},
		leg{"the same again, as the chart is", brief, func(ctx context.Context) error {
			return install(ctx, "--reset-values", "--set-string", "speaker.podAnnotations.round=2", "--set-string", "controller.podAnnotations.round=2")
		}},
	)
}
