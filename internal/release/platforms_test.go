package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPluginHasSourcesEverywhere: every package that the plugin needs has files for each platform of a release, so that
// none has crept in that knows Linux alone. TestSoakPluginBuilds builds it.
func TestPluginHasSourcesEverywhere(t *testing.T) {
	for _, p := range pluginPlatforms() {
		system, arch, _ := strings.Cut(p, "/")
		cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-f", "{{with .Error}}{{.}}{{end}}{{range .DepsErrors}}{{.}}{{end}}", "./cmd/kubectl-belfry")
		cmd.Dir = filepath.Join("..", "..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
		out, err := cmd.CombinedOutput()
		if wrong := strings.TrimSpace(string(out)); err != nil || wrong != "" {
			t.Errorf("%s: %v: %s", p, err, wrong)
		}
	}
}
