// Package oci writes container images FROM scratch into archives that containerd, podman, skopeo and docker read, without
// any container engine. The same content gives the same bytes.
package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Media types of the OCI image specification, 1.1.
const (
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar"
)

// Image says what is in the image of one platform.
type Image struct {
	// OS and Arch as Go names them.
	OS, Arch string
	// Files maps paths in the image to files of this machine. All are executable.
	Files      map[string]string
	Entrypoint []string
	Env        []string
	// User is uid or uid:gid in numbers, root if empty.
	User string
	// Labels are annotations of the image, too.
	Labels map[string]string
}

// Options say how the archive is written.
type Options struct {
	// Name is the reference that the image is known by, tag included.
	Name string
	// Compress makes the layers smaller, for registries.
	Compress bool
	// Created is the time in the image's configuration; none if zero.
	Created time.Time
}

type object map[string]any

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    object            `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Write writes an OCI archive, a tar of an image layout, and returns the digest by which a registry will know the image:
// that of its index where there are several platforms, else of its manifest.
func Write(w io.Writer, o Options, images ...Image) (digest string, err error) {
	a := &archive{blobs: map[string][]byte{}}
	manifests := make([]descriptor, 0, len(images))
	for _, i := range images {
		d, err := a.image(i, o)
		if err != nil {
			return "", fmt.Errorf("building image %s for %s/%s: %w", o.Name, i.OS, i.Arch, err)
		}
		manifests = append(manifests, d)
	}
	top := manifests[0]
	if len(manifests) > 1 {
		if top, err = a.add(typeIndex, object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": manifests}); err != nil {
			return "", err
		}
	}
	top.Annotations = map[string]string{"io.containerd.image.name": o.Name, "org.opencontainers.image.ref.name": o.Name[strings.LastIndex(o.Name, ":")+1:]}
	if err := a.write(w, top); err != nil {
		return "", fmt.Errorf("writing image %s: %w", o.Name, err)
	}
	return top.Digest, nil
}

// archive collects blobs by their digests.
type archive struct{ blobs map[string][]byte }

func (a *archive) add(mediaType string, v any) (descriptor, error) {
	data, isBytes := v.([]byte)
	if !isBytes {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return descriptor{}, err
		}
	}
	sum := hexSum(data)
	a.blobs[sum] = data
	return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(data)}, nil
}

func (a *archive) image(i Image, o Options) (descriptor, error) {
	plain, err := layer(i.Files)
	if err != nil {
		return descriptor{}, err
	}
	stored, mediaType := plain, typeLayer
	if o.Compress {
		if stored, err = compress(plain); err != nil {
			return descriptor{}, err
		}
		mediaType += "+gzip"
	}
	l, err := a.add(mediaType, stored)
	if err != nil {
		return descriptor{}, err
	}
	c, err := a.add(typeConfig, i.config("sha256:"+hexSum(plain), o.Created))
	if err != nil {
		return descriptor{}, err
	}
	manifest := object{"schemaVersion": 2, "mediaType": typeManifest, "config": c, "layers": []descriptor{l}}
	if len(i.Labels) > 0 {
		manifest["annotations"] = i.Labels
	}
	d, err := a.add(typeManifest, manifest)
	d.Platform = object{"os": i.OS, "architecture": i.Arch}
	return d, err
}

func (i Image) config(diffID string, created time.Time) object {
	run := object{"Entrypoint": i.Entrypoint, "Env": append([]string{"PATH=/usr/local/bin:/usr/bin:/bin:/"}, i.Env...)}
	if i.User != "" {
		run["User"] = i.User
	}
	if len(i.Labels) > 0 {
		run["Labels"] = i.Labels
	}
	c := object{
		"architecture": i.Arch, "os": i.OS, "config": run,
		"rootfs": object{"type": "layers", "diff_ids": []string{diffID}},
	}
	if !created.IsZero() {
		c["created"] = created.UTC().Format(time.RFC3339)
	}
	return c
}

// write writes the layout: the marker, the index that names the image, and the blobs in the order of their digests.
func (a *archive) write(out io.Writer, top descriptor) error {
	index, err := json.Marshal(object{"schemaVersion": 2, "mediaType": typeIndex, "manifests": []descriptor{top}})
	if err != nil {
		return err
	}
	w := tar.NewWriter(out)
	made := map[string]bool{".": true}
	put := func(name string, data []byte) error {
		if err := addParents(w, name, made); err != nil {
			return err
		}
		return addFile(w, name, 0o644, data)
	}
	for _, sum := range slices.Sorted(maps.Keys(a.blobs)) {
		if err := put("blobs/sha256/"+sum, a.blobs[sum]); err != nil {
			return err
		}
	}
	if err := put("index.json", index); err != nil {
		return err
	}
	if err := put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	return w.Close()
}

// layer is an image's only layer: the files, the directories above them, and /tmp.
func layer(files map[string]string) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	made := map[string]bool{".": true, "tmp": true}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return nil, err
	}
	for _, to := range slices.Sorted(maps.Keys(files)) {
		data, err := os.ReadFile(files[to])
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+to), "/")
		if err := addParents(w, name, made); err != nil {
			return nil, err
		}
		if err := addFile(w, name, 0o755, data); err != nil {
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

func addFile(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

func compress(data []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return buf.Bytes(), err
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
