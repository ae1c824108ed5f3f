package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/belfry-lb/belfry/internal/release/oci"
)

// What the image runs, and as whom. The Dockerfile says the same.
const (
	entrypoint = "/belfry"
	user       = "65532:65532"
)

func imagePlatforms() []string { return []string{"linux/amd64", "linux/arm64"} }

// image writes belfry-VERSION-image.tar and an SBOM for each platform.
func (j *job) image(ctx context.Context, out io.Writer, platforms []string) error {
	return inTemp(func(dir string) error {
		var images []oci.Image
		for _, p := range platforms {
			program := filepath.Join(dir, dashed(p))
			if err := j.build(ctx, j.program, p, program); err != nil {
				return err
			}
			if err := j.sbom(program, p); err != nil {
				return err
			}
			system, arch, _ := strings.Cut(p, "/")
			images = append(images, oci.Image{
				OS: system, Arch: arch, Files: map[string]string{entrypoint: program}, Entrypoint: []string{entrypoint}, User: user,
				Labels: map[string]string{
					"org.opencontainers.image.title":    "belfry",
					"org.opencontainers.image.version":  j.version,
					"org.opencontainers.image.source":   "https://github.com/belfry-lb/belfry",
					"org.opencontainers.image.licenses": "Apache-2.0",
				},
			})
		}
		var archive bytes.Buffer
		name := j.repo + ":" + j.version
		digest, err := oci.Write(&archive, oci.Options{Name: name, Compress: true, Created: j.created()}, images...)
		if err != nil {
			return err
		}
		path, err := j.write("belfry-"+j.version+"-image.tar", archive.Bytes())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s@%s\n%s\n", name, digest, path)
		return nil
	})
}
