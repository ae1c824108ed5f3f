package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

func pluginPlatforms() []string {
	return []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"}
}

// completionFile is what kubectl runs to complete what follows the plugin's name.
const completionFile = "internal/cli/kubectl_complete-belfry"

// download is an archive with the plugin for one platform.
type download struct{ platform, file, program, sum string }

// plugins writes an archive of the kubectl plugin for each platform.
func (j *job) plugins(ctx context.Context) (all []download, err error) {
	license, err := j.read("LICENSE")
	if err != nil {
		return nil, err
	}
	completion, err := j.read(completionFile)
	if err != nil {
		return nil, err
	}
	err = inTemp(func(dir string) error {
		for _, p := range pluginPlatforms() {
			d := download{platform: p, program: "kubectl-belfry"}
			pack, ending := tarball, ".tar.gz"
			files := []entry{{"LICENSE", 0o644, license}, {filepath.Base(completionFile), 0o755, completion}}
			if strings.HasPrefix(p, "windows/") {
				d.program += ".exe"
				pack, ending, files = zipfile, ".zip", files[:1] // it is a shell script
			}
			built := filepath.Join(dir, dashed(p))
			if err := j.build(ctx, j.plugin, p, built); err != nil {
				return err
			}
			program, err := os.ReadFile(built)
			if err != nil {
				return err
			}
			archive, err := pack(j.created(), append([]entry{{d.program, 0o755, program}}, files...)...)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(archive)
			d.file, d.sum = "kubectl-belfry-"+j.version+"-"+dashed(p)+ending, hex.EncodeToString(sum[:])
			if _, err := j.write(d.file, archive); err != nil {
				return err
			}
			all = append(all, d)
		}
		return nil
	})
	return all, err
}

// The manifest of krew, the plugin manager of kubectl.
type (
	krewPlugin struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       krewSpec          `json:"spec"`
	}
	krewSpec struct {
		Version          string         `json:"version"`
		Homepage         string         `json:"homepage"`
		ShortDescription string         `json:"shortDescription"`
		Description      string         `json:"description"`
		Caveats          string         `json:"caveats"` // krew shows it when it has installed the plugin
		Platforms        []krewPlatform `json:"platforms"`
	}
	krewPlatform struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		URI    string `json:"uri"`
		SHA256 string `json:"sha256"`
		Bin    string `json:"bin"`
	}
)

// krew writes belfry.yaml, by which `kubectl krew install` finds the archives.
func (j *job) krew(plugins []download) error {
	m := krewPlugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": "belfry"},
		Spec: krewSpec{
			Version: "v" + j.version, Homepage: "https://github.com/belfry-lb/belfry",
			ShortDescription: "See who announces the addresses of Services, and why not",
			Description:      "Explains what Belfry, a load balancer for bare metal, does with each Service of type LoadBalancer: its address, who announces it, and what keeps it from being announced.\n",
			Caveats:          "krew installs the plugin alone. To have the Tab key complete what follows `kubectl belfry`, see `kubectl belfry completion kubectl --help`.\n",
		},
	}
	for _, d := range plugins {
		system, arch, _ := strings.Cut(d.platform, "/")
		p := krewPlatform{
			URI:    fmt.Sprintf("https://github.com/belfry-lb/belfry/releases/download/v%s/%s", j.version, d.file),
			SHA256: d.sum, Bin: d.program,
		}
		p.Selector.MatchLabels = map[string]string{"os": system, "arch": arch}
		m.Spec.Platforms = append(m.Spec.Platforms, p)
	}
	b, err := yaml.Marshal(m)
	if err != nil {
		return err
	}
	_, err = j.write("belfry.yaml", b)
	return err
}
