//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// moduleDirs are the directories of the modules that pin the programs.
type moduleDirs struct {
	kubernetes, etcd string
}

var validVersion = regexp.MustCompile(`^1\.[0-9]+\.[0-9]+$`)

// findModules returns where to build a version, and the name under which to keep the result.
func findModules(ctx context.Context, v string) (moduleDirs, string, error) {
	if !validVersion.MatchString(v) {
		return moduleDirs{}, "", fmt.Errorf("version %q: want one like %s", v, DefaultVersion)
	}
	root, err := repositoryRoot()
	if err != nil {
		return moduleDirs{}, "", err
	}
	dirs := moduleDirs{
		kubernetes: filepath.Join(root, "e2e", "cluster", "k8s"),
		etcd:       filepath.Join(root, "e2e", "cluster", "etcd"),
	}
	if v != DefaultVersion {
		if dirs.kubernetes, err = generateModule(ctx, v); err != nil {
			return dirs, "", err
		}
	}
	var pins [][]byte
	for _, dir := range []string{dirs.kubernetes, dirs.etcd} {
		for _, file := range []string{"go.mod", "go.sum"} {
			// The build of a generated module completes its files: its version is its name.
			if v != DefaultVersion && dir == dirs.kubernetes {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return dirs, "", err
			}
			pins = append(pins, data)
		}
	}
	return dirs, v + "-" + digest(pins...), nil
}

// generateModule writes, into the cache, a module from which another Kubernetes can be built. Kubernetes' own go.mod replaces its
// staging modules by directories; a module that depends on it must replace them by the versions that were published with it.
func generateModule(ctx context.Context, v string) (string, error) {
	dir, err := cacheDir("k8s", "module-"+v)
	if err != nil || exists(filepath.Join(dir, "go.mod")) {
		return dir, err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "k8s.io/kubernetes@v"+v)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := cmd.Output()
	var download struct{ GoMod, Error string }
	if jsonErr := json.Unmarshal(out, &download); jsonErr != nil || download.GoMod == "" {
		return "", fmt.Errorf("downloading k8s.io/kubernetes@v%s: %s (%w)", v, download.Error, err)
	}
	upstream, err := os.ReadFile(download.GoMod)
	if err != nil {
		return "", err
	}
	return dir, writeFile(filepath.Join(dir, "go.mod"), goModFor(v, string(upstream)))
}

var (
	goLine      = regexp.MustCompile(`(?m)^go (1\.[0-9]+)\S*$`)
	stagingLine = regexp.MustCompile(`(?m)^\s*(k8s\.io/[a-z-]+) => \./staging/`)
)

func goModFor(v, upstream string) []byte {
	var staging []string
	for _, m := range stagingLine.FindAllStringSubmatch(upstream, -1) {
		staging = append(staging, m[1])
	}
	slices.Sort(staging)
	var b strings.Builder
	b.WriteString("module github.com/belfry-lb/belfry/e2e/cluster/k8s\n")
	if m := goLine.FindStringSubmatch(upstream); m != nil {
		fmt.Fprintf(&b, "\n%s\n\ngodebug default=go%s\n", m[0], m[1])
	}
	fmt.Fprintf(&b, "\nrequire k8s.io/kubernetes v%s\n\nreplace (\n", v)
	for _, module := range slices.Compact(staging) {
		fmt.Fprintf(&b, "\t%[1]s => %[1]s v0.%[2]s\n", module, strings.TrimPrefix(v, "1."))
	}
	b.WriteString(")\n")
	return []byte(b.String())
}
