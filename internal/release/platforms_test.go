package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramsHaveSourcesEverywhere: every package that a program needs has files for each platform of a release, so that
// none has crept in that knows Linux, or amd64, alone. TestSoakRelease builds them.
func TestProgramsHaveSourcesEverywhere(t *testing.T) {
	for program, platforms := range map[string][]string{"./cmd/kubectl-belfry": pluginPlatforms(), "./cmd/belfry": imagePlatforms()} {
		for _, p := range platforms {
			system, arch, _ := strings.Cut(p, "/")
			cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-deps", "-f", "{{with .Error}}{{.}}{{end}}{{range .DepsErrors}}{{.}}{{end}}", program)
			cmd.Dir = filepath.Join("..", "..")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
			out, err := cmd.CombinedOutput()
			if wrong := strings.TrimSpace(string(out)); err != nil || wrong != "" {
				t.Errorf("%s for %s: %v: %s", program, p, err, wrong)
			}
		}
	}
}
