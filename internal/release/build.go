package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// buildFlags are those with which `go build` makes what is released, for a version without a v. The Dockerfile has the same.
//
// With the tag, gRPC leaves golang.org/x/net/trace out. Its templates call methods by name, for whose sake the linker keeps every
// method of every type: a third of the program, and as much of the memory that its file takes.
func buildFlags(version string) []string {
	return []string{"-tags", "grpcnotrace", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X main.version=v" + version}
}

// build compiles a package of the sources for a platform ("linux/arm64") into a static program.
func (j *job) build(ctx context.Context, pkg, platform, to string) error {
	system, arch, found := strings.Cut(platform, "/")
	if !found {
		return fmt.Errorf("platform %q: want one like linux/amd64", platform)
	}
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build"}, buildFlags(strings.TrimPrefix(j.version, "v"))...), "-o", to, pkg)...)
	cmd.Dir = j.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch, "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s for %s: %w: %s", pkg, platform, err, bytes.TrimSpace(out))
	}
	return nil
}

// inTemp calls do with a directory that is gone afterwards.
func inTemp(do func(dir string) error) error {
	dir, err := os.MkdirTemp("", "belfry-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return do(dir)
}

// dashed makes a platform part of a file's name.
func dashed(platform string) string { return strings.ReplaceAll(platform, "/", "-") }

// read returns a file of the sources.
func (j *job) read(elem ...string) ([]byte, error) {
	return os.ReadFile(filepath.Join(append([]string{j.root}, elem...)...))
}
