package upgrade

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/belfry-lb/belfry/charts/render"
)

// git prepares git in the repository, which may belong to another user than root, who runs the tests.
func git(ctx context.Context, root string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*", "-C", root}, args...)...)
}

// baseRef names the version to upgrade from: the newest tag of a version before this commit, else what BASE says.
func baseRef(ctx context.Context, root string) (string, error) {
	tag, err := git(ctx, root, "describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^").Output()
	if err == nil {
		return strings.TrimSpace(string(tag)), nil
	}
	b, err := os.ReadFile("BASE")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if ref := strings.TrimSpace(line); ref != "" && !strings.HasPrefix(ref, "#") {
			return ref, nil
		}
	}
	return "", errors.New("the file BASE names no commit")
}

// checkOut writes the sources of the version to upgrade from into a directory, and builds its program.
func checkOut(ctx context.Context, dir string) (ref, program string, err error) {
	root, err := render.Root()
	if err != nil {
		return "", "", err
	}
	if ref, err = baseRef(ctx, root); err != nil {
		return "", "", err
	}
	var complaints bytes.Buffer
	archive := git(ctx, root, "archive", ref)
	archive.Stderr = &complaints
	sources, err := archive.Output()
	if err != nil {
		return ref, "", fmt.Errorf("reading %s, of which the repository needs the history: %w: %s", ref, err, complaints.Bytes())
	}
	if err := extract(bytes.NewReader(sources), dir); err != nil {
		return ref, "", err
	}
	program = filepath.Join(dir, "bin", "belfry")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=base", "-o", program, "./cmd/belfry")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return ref, "", fmt.Errorf("building %s: %w: %s", ref, err, out)
	}
	return ref, program, nil
}

func extract(archive io.Reader, dir string) error {
	r := tar.NewReader(archive)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		switch h.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeReg:
			data, readErr := io.ReadAll(r)
			err = errors.Join(readErr, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, fs.FileMode(h.Mode).Perm()))
		}
		if err != nil {
			return err
		}
	}
}
