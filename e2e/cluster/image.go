//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/belfry-lb/belfry/internal/release/oci"
)

const (
	// PauseImage holds the namespaces of every pod; each lab has it.
	PauseImage = "localhost/pause:1"
	// WebImage is the name of the image that BuildWebImage makes.
	WebImage = "localhost/web:1"
)

// ImageSpec says what is in a container image.
type ImageSpec struct {
	// Name is the reference that manifests use, tag included.
	Name string
	// Files maps paths in the image to files of this machine. All are executable.
	Files      map[string]string
	Entrypoint []string
	Env        []string
	// User is uid or uid:gid in numbers, root if empty.
	User string
}

// BuildImage writes an image FROM scratch as an archive and returns the path of the tar. No container engine is needed. The same
// content gives the same file, in the user's cache.
func BuildImage(spec ImageSpec) (string, error) {
	var archive bytes.Buffer
	image := oci.Image{OS: "linux", Arch: runtime.GOARCH, Files: spec.Files, Entrypoint: spec.Entrypoint, Env: spec.Env, User: spec.User}
	manifest, err := oci.Write(&archive, oci.Options{Name: spec.Name}, image)
	if err != nil {
		return "", err
	}
	dir, err := cacheDir("images")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, digest([]byte(spec.Name), []byte(manifest))+".tar")
	if exists(file) {
		return file, nil
	}
	return file, writeFile(file, archive.Bytes())
}

// BuildBinary builds a package of the project as a static binary, in the user's cache. The package is a path like ./cmd/belfry,
// from the root of the repository, or an import path.
func BuildBinary(ctx context.Context, pkg string, ldflags ...string) (string, error) {
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	flags := strings.Join(append([]string{"-s", "-w"}, ldflags...), " ")
	dir, err := cacheDir("bin", digest([]byte(root), []byte(pkg), []byte(flags)))
	if err != nil {
		return "", err
	}
	target := filepath.Join(dir, path.Base(pkg))
	unfinished, err := os.MkdirTemp(dir, ".building-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(unfinished)
	// Without -buildvcs=false, root could not build in a repository that belongs to somebody else.
	built := filepath.Join(unfinished, path.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", built, pkg)
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", pkg, err, bytes.TrimSpace(out))
	}
	return target, os.Rename(built, target)
}

// BuildWebImage builds WebImage, the server behind the Services of the demo and the tests; see images/web for what it answers.
func BuildWebImage(ctx context.Context) (string, error) { return buildImageOf(ctx, WebImage, "web") }

// buildImageOf builds an image of one of the programs in images/.
func buildImageOf(ctx context.Context, name, program string) (string, error) {
	binary, err := BuildBinary(ctx, "./e2e/cluster/images/"+program)
	if err != nil {
		return "", err
	}
	return BuildImage(ImageSpec{Name: name, Files: map[string]string{"/" + program: binary}, Entrypoint: []string{"/" + program}})
}
