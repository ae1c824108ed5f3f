//go:build soak

package main

import (
	"path/filepath"
	"testing"
)

// TestSoakPluginBuilds builds the plugin for each platform of a release.
func TestSoakPluginBuilds(t *testing.T) {
	j := &job{root: filepath.Join("..", ".."), version: "1.2.3"}
	for _, p := range pluginPlatforms() {
		if err := j.build(t.Context(), "./cmd/kubectl-belfry", p, filepath.Join(t.TempDir(), dashed(p))); err != nil {
			t.Error(err)
		}
	}
}
