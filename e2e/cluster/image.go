//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
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

// BuildImage writes an image FROM scratch as a docker-archive and returns the path of the tar. No container engine is needed. The
// same content gives the same file, in the user's cache.
func BuildImage(spec ImageSpec) (string, error) {
	layer, err := spec.layer()
	if err != nil {
		return "", fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	config, err := spec.config(layer)
	if err != nil {
		return "", fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	dir, err := cacheDir("images")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, digest([]byte(spec.Name), config)+".tar") // the config names the layer by its hash
	if exists(file) {
		return file, nil
	}
	archive, err := dockerArchive(spec.Name, config, layer)
	if err != nil {
		return "", fmt.Errorf("building image %s: %w", spec.Name, err)
	}
	return file, writeFile(file, archive)
}

// layer is the image's only layer: the files, the directories above them, and /tmp.
func (s ImageSpec) layer() ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{".": true, "tmp": true}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return nil, err
	}
	for _, to := range slices.Sorted(maps.Keys(s.Files)) {
		data, err := os.ReadFile(s.Files[to])
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+to), "/")
		if err := addParents(w, name, made); err != nil {
			return nil, err
		}
		if err := addFile(w, name, data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

func addParents(w *tar.Writer, name string, made map[string]bool) error {
	dir := path.Dir(name)
	if made[dir] {
		return nil
	}
	made[dir] = true
	if err := addParents(w, dir, made); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}

func addFile(w *tar.Writer, name string, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func (s ImageSpec) config(layer []byte) ([]byte, error) {
	type object map[string]any
	return json.Marshal(object{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config": object{
			"Entrypoint": s.Entrypoint, "Env": append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}, s.Env...), "User": s.User,
		},
		"rootfs": object{"type": "layers", "diff_ids": []string{"sha256:" + sha256hex(layer)}},
	})
}

func dockerArchive(name string, config, layer []byte) ([]byte, error) {
	type entry struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	configName := sha256hex(config) + ".json"
	manifest, err := json.Marshal([]entry{{configName, []string{name}, []string{"layer.tar"}}})
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range []struct {
		name string
		data []byte
	}{{configName, config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err := addFile(w, f.name, f.data); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return buf.Bytes(), err
}

func sha256hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
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
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", built, pkg)
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
