package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// chart writes the chart's package with the version in it. What helm writes bears the time of the day: it is packed again.
func (j *job) chart(ctx context.Context) error {
	return inTemp(func(dir string) error {
		cmd := exec.CommandContext(ctx, j.helm, "package", filepath.Join("charts", "belfry"),
			"--version", j.version, "--app-version", j.version, "--destination", dir)
		cmd.Dir = j.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("packing the chart: %w: %s", err, bytes.TrimSpace(out))
		}
		name := "belfry-" + j.version + ".tgz"
		packed, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		entries, err := untar(packed)
		if err != nil {
			return fmt.Errorf("reading the packed chart: %w", err)
		}
		if err := j.stamp(entries); err != nil {
			return err
		}
		slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		again, err := tarball(j.created(), entries...)
		if err != nil {
			return err
		}
		_, err = j.write(name, again)
		return err
	})
}

// stamp makes the files of the packed chart say what helm does not: the image of this release, and whether it is one to try.
func (j *job) stamp(entries []entry) error {
	name, quoted := regexp.QuoteMeta(repository), strconv.Quote(strconv.FormatBool(strings.Contains(j.version, "-")))
	for _, edit := range []struct{ file, was, now string }{
		{"Chart.yaml", `artifacthub.io/prerelease: .*`, "artifacthub.io/prerelease: " + quoted},
		{"Chart.yaml", `image: ` + name + `:\S+`, "image: " + j.repo + ":" + j.version},
		{"values.yaml", `repository: ` + name + `\b`, "repository: " + j.repo},
	} {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.name == "belfry/"+edit.file })
		was := regexp.MustCompile(edit.was)
		if i < 0 || !was.Match(entries[i].data) {
			return fmt.Errorf("the chart's %s says nothing like %q", edit.file, edit.was)
		}
		entries[i].data = was.ReplaceAllLiteral(entries[i].data, []byte(edit.now))
	}
	return nil
}

var versionLine = regexp.MustCompile(`(?m)^appVersion: (\S+)$`)

// manifests writes install.yaml with the image of this version, and crds.yaml.
func (j *job) manifests() error {
	install, err1 := j.read("config", "install.yaml")
	meta, err2 := j.read("charts", "belfry", "Chart.yaml")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	m := versionLine.FindSubmatch(meta)
	if m == nil {
		return errors.New("charts/belfry/Chart.yaml has no appVersion")
	}
	was := string(m[1])
	text := strings.ReplaceAll(string(install), "image: "+repository+":"+was, "image: "+j.repo+":"+j.version)
	text = strings.ReplaceAll(text, "app.kubernetes.io/version: "+was, "app.kubernetes.io/version: "+j.version)
	if _, err := j.write("install.yaml", []byte(text)); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(j.root, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("config/crd/bases has no CRDs"), err)
	}
	var crds bytes.Buffer
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		crds.Write(b)
	}
	_, err = j.write("crds.yaml", crds.Bytes())
	return err
}
