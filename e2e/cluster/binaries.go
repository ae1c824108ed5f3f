//go:build linux

package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// Binaries is the directory of kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl and etcd, as
// envtest's KUBEBUILDER_ASSETS wants it.
type Binaries struct {
	Dir string
}

// Path returns the path of a program.
func (b Binaries) Path(name string) string { return filepath.Join(b.Dir, name) }

// program is a binary and the nested module and package that it is built from.
type program struct {
	name, pkg, module, ldflags string
	generated                  bool
}

// BuildBinaries builds Kubernetes of the given version (empty: $K8S_VERSION, or DefaultVersion) and etcd from Go modules, or finds
// them in the user's cache. Several processes may call it at once: one builds, the others wait.
func BuildBinaries(ctx context.Context, v string, log io.Writer) (Binaries, error) {
	if log == nil {
		log = io.Discard
	}
	v = version(v)
	cache, err := cacheDir("k8s")
	if err != nil {
		return Binaries{}, err
	}
	modules, key, err := findModules(ctx, v)
	if err != nil {
		return Binaries{}, fmt.Errorf("preparing Kubernetes %s: %w", v, err)
	}
	b := Binaries{Dir: filepath.Join(cache, key)}
	if exists(b.Dir) {
		return b, nil
	}
	unlock, err := lockFile(ctx, b.Dir+".lock")
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()
	if exists(b.Dir) {
		return b, nil
	}
	partial := b.Dir + ".partial" // what an interrupted build finished is kept
	if err := os.MkdirAll(partial, 0o755); err != nil {
		return Binaries{}, err
	}
	if err := buildAll(ctx, programs(v, modules), partial, log); err != nil {
		return Binaries{}, err
	}
	return b, os.Rename(partial, b.Dir)
}

// BuildPinned builds a package from a nested module of the repository, say "e2e/ingress/traefik", that pins its version, or
// finds the program in the user's cache. Several processes may call it at once: one builds, the others wait.
func BuildPinned(ctx context.Context, module, pkg string, log io.Writer) (string, error) {
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, filepath.FromSlash(module))
	pins := [][]byte{[]byte(pkg)}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return "", err
		}
		pins = append(pins, data)
	}
	cache, err := cacheDir("pinned", digest(pins...))
	if err != nil {
		return "", err
	}
	p := program{name: path.Base(pkg), pkg: pkg, module: dir}
	target := filepath.Join(cache, p.name)
	unlock, err := lockFile(ctx, target+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(target) {
		return target, nil
	}
	fmt.Fprintf(log, "building %s, once per machine\n", p.name)
	if err := p.build(ctx, target, log); err != nil {
		return "", fmt.Errorf("building %s: %w", p.name, err)
	}
	return target, nil
}

func programs(v string, m moduleDirs) []program {
	part := strings.SplitN(v, ".", 3)
	const pkg = "k8s.io/component-base/version"
	ld := fmt.Sprintf("-X %[1]s.gitVersion=v%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean "+
		"-X %[1]s.gitCommit=unknown -X %[1]s.buildDate=1970-01-01T00:00:00Z -X k8s.io/client-go/pkg/version.gitVersion=v%[2]s",
		pkg, v, part[0], part[1])
	names := []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}
	all := make([]program, 0, len(names)+1)
	for _, name := range names {
		all = append(all, program{name, "k8s.io/kubernetes/cmd/" + name, m.kubernetes, ld, v != DefaultVersion})
	}
	return append(all, program{"etcd", "go.etcd.io/etcd/server/v3", m.etcd, "", false})
}

func buildAll(ctx context.Context, all []program, dir string, log io.Writer) error {
	for i, p := range all {
		target := filepath.Join(dir, p.name)
		if exists(target) {
			continue
		}
		hint := ""
		if i == 0 {
			hint = "; about 10 CPU-minutes in all on a cold cache, once per machine"
		}
		fmt.Fprintf(log, "building %s (%d/%d)%s\n", p.name, i+1, len(all), hint)
		if err := p.build(ctx, target, log); err != nil {
			return fmt.Errorf("building %s: %w", p.name, err)
		}
	}
	return nil
}

func (p program) build(ctx context.Context, target string, log io.Writer) error {
	unfinished := target + ".unfinished"
	mod := "-mod=readonly"
	if p.generated {
		mod = "-mod=mod" // the build completes a generated go.mod
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", p.module, "-v", mod, "-buildvcs=false", "-trimpath",
		"-ldflags", strings.TrimSpace("-s -w "+p.ldflags), "-o", unfinished, p.pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	last := reportProgress(stderr, p.name, log)
	if err := cmd.Wait(); err != nil {
		return errors.Join(fmt.Errorf("%w: %s", err, last), ctx.Err())
	}
	return os.Rename(unfinished, target)
}

// reportProgress reads what go build -v says, a line for each package, tells three times a minute how far it is, and returns the end.
func reportProgress(r io.Reader, name string, log io.Writer) (end string) {
	began := time.Now()
	var packages atomic.Int64
	tick, done, stopped := time.NewTicker(20*time.Second), make(chan struct{}), make(chan struct{})
	defer func() { tick.Stop(); close(done); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(log, "  %s: %s so far, %d packages compiled\n", name, time.Since(began).Round(time.Second), packages.Load())
			}
		}
	}()
	var tail []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		tail = append(tail[max(0, len(tail)-9):], lines.Text())
		packages.Add(1)
	}
	return strings.Join(tail, "\n")
}
