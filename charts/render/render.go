// Package render runs the real helm on the chart and the real kustomize on config/, and finds the blocks of the docs, for
// tests.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// The release that Chart renders, and the oldest Kubernetes that the chart is for.
const (
	Release           = "belfry"
	Namespace         = "belfry-system"
	KubernetesVersion = "1.31.0"
)

// Root returns the repository's root directory.
func Root() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the program does not know its sources")
	}
	return filepath.Join(filepath.Dir(file), "..", ".."), nil
}

// Helm runs helm, in the repository's root, and returns what it printed; what it complained about is in the error. It is
// the program that BELFRY_HELM names, else Go builds it, once per machine, as tools/go.mod pins it.
func Helm(ctx context.Context, args ...string) ([]byte, error) {
	return HelmWith(ctx, nil, args...)
}

// HelmWith is Helm with the environment env instead of the process's own.
func HelmWith(ctx context.Context, env []string, args ...string) ([]byte, error) {
	return tool(ctx, "helm", env, args...)
}

// Kustomize builds what a directory holds, a path from the repository's root, and returns its objects in the order of
// installation. The program is found as helm is, or named by BELFRY_KUSTOMIZE.
func Kustomize(ctx context.Context, dir string) ([]*unstructured.Unstructured, error) {
	out, err := tool(ctx, "kustomize", nil, "build", dir)
	if err != nil {
		return nil, err
	}
	return Decode(out)
}

func tool(ctx context.Context, name string, env []string, args ...string) ([]byte, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	if err := touch(filepath.Join(root, "charts", "belfry"), filepath.Join(root, "config")); err != nil {
		return nil, err
	}
	program := os.Getenv("BELFRY_" + strings.ToUpper(name))
	if program == "" {
		program, args = "go", append([]string{"tool", "-modfile=tools/go.mod", name}, args...)
	}
	var out, complaints bytes.Buffer
	c := exec.CommandContext(ctx, program, args...)
	c.Dir, c.Env, c.Stdout, c.Stderr = root, env, &out, &complaints
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("running %s: %w: %s%s", filepath.Base(program), err, complaints.Bytes(), out.Bytes())
	}
	return out.Bytes(), nil
}

// touch opens directories with all below them. `go test` takes a result for good as long as nothing has changed that the test
// itself has opened, and does not see what a program reads that it runs.
func touch(dirs ...string) error {
	for _, dir := range dirs {
		if err := filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err }); err != nil {
			return err
		}
	}
	return nil
}

// Chart renders the chart with values as `helm --set` takes them and returns its objects in the order of installation.
func Chart(ctx context.Context, set ...string) ([]*unstructured.Unstructured, error) {
	args := []string{"template", Release, "charts/belfry", "--namespace", Namespace, "--kube-version", KubernetesVersion}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	out, err := Helm(ctx, args...)
	if err != nil {
		return nil, err
	}
	return Decode(out)
}

// Decode reads a stream of YAML documents; empty ones are passed over.
func Decode(stream []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(stream), 4096)
	for {
		var o unstructured.Unstructured
		switch err := d.Decode(&o); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("decoding manifests: %w", err)
		case len(o.Object) > 0:
			objects = append(objects, &o)
		}
	}
}
