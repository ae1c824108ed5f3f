package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const chartMeta = `apiVersion: v2
name: belfry
version: 0.1.0
appVersion: 0.1.0
annotations:
  artifacthub.io/prerelease: "true"
  artifacthub.io/images: |
    - name: belfry
      image: ghcr.io/belfry-lb/belfry:0.1.0
`

// small is a product of a few lines, with everything that a release takes from the sources.
func small(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                         "module example.com/small\n\ngo 1.26.0\n",
		"LICENSE":                        "Do as you like.\n",
		"cmd/belfry/main.go":             "package main\n\nimport \"os\"\n\nvar version = \"dev\"\n\nfunc main() { os.Stdout.WriteString(version) }\n",
		"cmd/kubectl-belfry/main.go":     "package main\n\nvar version = \"dev\"\n\nfunc main() { print(version) }\n",
		completionFile:                   "#!/bin/sh\n",
		"charts/belfry/Chart.yaml":       chartMeta,
		"charts/belfry/values.yaml":      "a: 1\nimage:\n  repository: ghcr.io/belfry-lb/belfry # of both\n",
		"charts/belfry/templates/a.yaml": "kind: {{ .Values.a }}\n",
		"config/install.yaml":            "image: ghcr.io/belfry-lb/belfry:0.1.0\nlabels: {app.kubernetes.io/version: 0.1.0}\n",
		"config/crd/bases/a.yaml":        "---\nkind: A\n",
		"config/crd/bases/b.yaml":        "---\nkind: B\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// helm returns the program helm, of which there may be only the sources.
func helm(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("BELFRY_HELM"); path != "" {
		return path
	}
	tools, err := filepath.Abs(filepath.Join("..", "..", "tools"))
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "helm")
	build := exec.Command("go", "build", "-C", tools, "-o", program, "helm.sh/helm/v3/cmd/helm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building helm: %v: %s", err, out)
	}
	return program
}

func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// release makes a release of root and returns its files.
func release(t *testing.T, root, helm string) map[string][]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "dist")
	if _, err := run(t, "all", "--root", root, "--helm", helm, "--version", "v1.2.3", "--out", dir); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range list {
		if files[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestRelease(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	root, helm := small(t), helm(t)
	files := release(t, root, helm)
	t.Run("the same bytes again", func(t *testing.T) {
		again := release(t, root, helm)
		for name := range files {
			if !bytes.Equal(files[name], again[name]) {
				t.Errorf("%s differs", name)
			}
		}
	})
	t.Run("checksums", func(t *testing.T) { testChecksums(t, files) })
	t.Run("plugin", func(t *testing.T) { testPlugin(t, files) })
	t.Run("image", func(t *testing.T) {
		program := testImage(t, files["belfry-1.2.3-image.tar"])[runtime.GOARCH]
		if out, err := exec.CommandContext(t.Context(), program).Output(); err != nil || string(out) != "v1.2.3" {
			t.Errorf("the program in the image says %q, %v", out, err)
		}
	})
	t.Run("bill of materials", func(t *testing.T) { testSBOM(t, files["belfry-1.2.3-linux-amd64.spdx.json"]) })
	t.Run("chart", func(t *testing.T) {
		testChart(t, files["belfry-1.2.3.tgz"], "1.2.3", "ghcr.io/belfry-lb/belfry", "false")
	})
	t.Run("manifests", func(t *testing.T) {
		if got, want := string(files["install.yaml"]), "image: ghcr.io/belfry-lb/belfry:1.2.3\nlabels: {app.kubernetes.io/version: 1.2.3}\n"; got != want {
			t.Errorf("install.yaml is %q", got)
		}
		if got := string(files["crds.yaml"]); got != "---\nkind: A\n---\nkind: B\n" {
			t.Errorf("crds.yaml is %q", got)
		}
	})
}

// testChart looks for what the packed chart says of its release.
func testChart(t *testing.T, archive []byte, version, repo, prerelease string) {
	t.Helper()
	files := map[string][]byte{}
	for _, e := range entries(t, archive) {
		files[e.name] = e.data
	}
	var meta struct {
		Version, AppVersion string
		Annotations         map[string]string
	}
	var values struct {
		Image struct{ Repository string }
	}
	if err := errors.Join(yaml.Unmarshal(files["belfry/Chart.yaml"], &meta), yaml.Unmarshal(files["belfry/values.yaml"], &values)); err != nil {
		t.Fatal(err)
	}
	if meta.Version != version || meta.AppVersion != version || meta.Annotations["artifacthub.io/prerelease"] != prerelease {
		t.Errorf("Chart.yaml of %s: %+v", version, meta)
	}
	if images := meta.Annotations["artifacthub.io/images"]; !strings.Contains(images, " image: "+repo+":"+version+"\n") || values.Image.Repository != repo {
		t.Errorf("the image is %q, and in the values %q", images, values.Image.Repository)
	}
}

// TestChartOfOwnRepository: whoever builds a release of their own gets a chart that pulls their own image.
func TestChartOfOwnRepository(t *testing.T) {
	const version, repo = "1.3.0-rc.1", "registry.example.com:5000/belfry"
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "charts"), os.DirFS(filepath.Join("..", "..", "charts"))); err != nil {
		t.Fatal(err)
	}
	j := &job{root: root, out: t.TempDir(), version: version, repo: repo, helm: helm(t)}
	if err := j.chart(t.Context()); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(filepath.Join(j.out, "belfry-"+version+".tgz"))
	if err != nil {
		t.Fatal(err)
	}
	testChart(t, archive, version, repo, "true")
}

func testChecksums(t *testing.T, files map[string][]byte) {
	listed := map[string]bool{"checksums.txt": true}
	for line := range strings.Lines(string(files["checksums.txt"])) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if is := sha256.Sum256(files[name]); hex.EncodeToString(is[:]) != sum {
			t.Errorf("%s has another sum than %s", name, sum)
		}
		listed[name] = true
	}
	for name := range files {
		if !listed[name] {
			t.Errorf("%s has no sum", name)
		}
	}
	if len(files) != 14 {
		t.Errorf("%d files, want 6 plugins, the krew manifest, the image, 2 bills, the chart, 2 manifests and the sums", len(files))
	}
}

func testPlugin(t *testing.T, files map[string][]byte) {
	var m krewPlugin
	if err := yaml.UnmarshalStrict(files["belfry.yaml"], &m); err != nil {
		t.Fatal(err)
	}
	if m.Spec.Version != "v1.2.3" || len(m.Spec.Platforms) != 6 {
		t.Errorf("version %s, %d platforms", m.Spec.Version, len(m.Spec.Platforms))
	}
	for _, p := range m.Spec.Platforms {
		archive := files[p.URI[strings.LastIndex(p.URI, "/")+1:]]
		if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Errorf("%s has another sum than the manifest says", p.URI)
		}
		names := []string{}
		for _, e := range entries(t, archive) {
			names = append(names, e.name)
		}
		want := []string{p.Bin, "LICENSE", "kubectl_complete-belfry"}
		if p.Selector.MatchLabels["os"] == "windows" {
			want = want[:2]
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.URI, diff)
		}
	}
}

// entries reads a .tar.gz or a .zip.
func entries(t *testing.T, archive []byte) (all []entry) {
	t.Helper()
	if !bytes.HasPrefix(archive, []byte("PK")) {
		all, err := untar(archive)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.File {
		file, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		all = append(all, entry{f.Name, f.Mode(), data})
	}
	return all
}

// testImage follows the archive from its index down to the program of each architecture, and returns where it has put those.
func testImage(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	programs := map[string]string{}
	blobs := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if blobs[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	type pointer struct {
		Digest      string
		Size        int
		Platform    struct{ OS, Architecture string }
		Annotations map[string]string
	}
	type document struct {
		Manifests, Layers []pointer
		Config            json.RawMessage
	}
	blob := func(p pointer) []byte {
		b := blobs["blobs/sha256/"+strings.TrimPrefix(p.Digest, "sha256:")]
		if sum := sha256.Sum256(b); "sha256:"+hex.EncodeToString(sum[:]) != p.Digest || len(b) != p.Size {
			t.Fatalf("blob %s of %d bytes: there are %d with another sum", p.Digest, p.Size, len(b))
		}
		return b
	}
	decode := func(b []byte, into any) {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatal(err)
		}
	}
	var top, index document
	decode(blobs["index.json"], &top)
	if name := top.Manifests[0].Annotations["io.containerd.image.name"]; name != "ghcr.io/belfry-lb/belfry:1.2.3" {
		t.Errorf("it is called %s", name)
	}
	decode(blob(top.Manifests[0]), &index)
	for i, arch := range []string{"amd64", "arm64"} {
		p := index.Manifests[i]
		if p.Platform.OS != "linux" || p.Platform.Architecture != arch {
			t.Errorf("platform %+v, want linux/%s", p.Platform, arch)
		}
		var manifest document
		decode(blob(p), &manifest)
		var config pointer
		decode(manifest.Config, &config)
		var run struct {
			Created string
			Config  struct {
				User       string
				Entrypoint []string
			}
			RootFS struct {
				DiffIDs []string `json:"diff_ids"`
			}
		}
		decode(blob(config), &run)
		if run.Config.User != "65532:65532" || run.Config.Entrypoint[0] != "/belfry" || run.Created != "2023-11-14T22:13:20Z" {
			t.Errorf("%s: %+v", arch, run)
		}
		z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0])))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(plain); "sha256:"+hex.EncodeToString(sum[:]) != run.RootFS.DiffIDs[0] {
			t.Errorf("%s: the layer is not what the configuration says", arch)
		}
		programs[arch] = unpacked(t, plain)
	}
	return programs
}

// unpacked writes the program of a layer to a file.
func unpacked(t *testing.T, layer []byte) string {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("no belfry in the layer: %v", err)
		}
		if h.Name != "belfry" {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(t.TempDir(), "belfry")
		if err := os.WriteFile(program, data, h.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
		return program
	}
}

func testSBOM(t *testing.T, b []byte) {
	d := validSPDX(t, b)
	if d.SPDXVersion != "SPDX-2.3" || len(d.Packages) != 2 || len(d.Relationships) != 2 {
		t.Fatalf("%+v", d)
	}
	if p := d.Packages[0]; p.Name != "example.com/small" || p.VersionInfo != "1.2.3" || len(p.Checksums) != 1 {
		t.Errorf("the program is %+v", p)
	}
	if p := d.Packages[1]; p.Name != "stdlib" || p.VersionInfo != strings.TrimPrefix(runtime.Version(), "go") {
		t.Errorf("it contains %+v", p)
	}
}

// validSPDX reads a bill of materials and checks what SPDX 2.3 demands of the fields that are mandatory, by clause.
func validSPDX(t *testing.T, b []byte) (d spdxDocument) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	matches := func(clause, pattern, value string) {
		if !regexp.MustCompile("^(" + pattern + ")$").MatchString(value) {
			t.Errorf("%s: %q is not like %s", clause, value, pattern)
		}
	}
	matches("6.1 version", `SPDX-2\.3`, d.SPDXVersion)
	matches("6.2 data license", `CC0-1\.0`, d.DataLicense)
	matches("6.3 identifier", `SPDXRef-DOCUMENT`, d.SPDXID)
	matches("6.4 name", `\S+`, d.Name)
	matches("6.5 namespace", `https://[^#\s]+`, d.DocumentNamespace)
	matches("6.9 created", `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, d.CreationInfo.Created)
	if len(d.CreationInfo.Creators) == 0 {
		t.Error("6.8: nobody has created it")
	}
	for _, c := range d.CreationInfo.Creators {
		matches("6.8 creator", `(Person|Organization|Tool): .+`, c)
	}
	ids, described := map[string]bool{d.SPDXID: true}, 0
	for _, p := range d.Packages {
		matches("7.1 name", `.+`, p.Name)
		matches("7.2 identifier", `SPDXRef-[A-Za-z0-9.-]+`, p.SPDXID)
		matches("7.7 download location", `NOASSERTION|NONE|https://.+`, p.DownloadLocation)
		for _, c := range p.Checksums {
			matches("7.10 checksum", `SHA256 [0-9a-f]{64}`, c.Algorithm+" "+c.Value)
		}
		for _, r := range p.ExternalRefs {
			matches("7.21 reference", `PACKAGE-MANAGER purl pkg:golang/[^@\s]+@[^@+\s]+`, r.Category+" "+r.Type+" "+r.Locator)
		}
		if ids[p.SPDXID] {
			t.Errorf("7.2: two are called %s", p.SPDXID)
		}
		ids[p.SPDXID] = true
		if p.FilesAnalyzed {
			t.Errorf("7.8: %s says that its files were looked at, and has no verification code", p.Name)
		}
	}
	for _, r := range d.Relationships {
		matches("11.1 relationship", `DESCRIBES|CONTAINS`, r.Type)
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("11.1: %+v is of something that is not there", r)
		}
		if r.Element == d.SPDXID && r.Type == "DESCRIBES" {
			described++
		}
	}
	if described != 1 {
		t.Errorf("11.1: it describes %d packages, want one", described)
	}
	return d
}

func TestModulesInTheBill(t *testing.T) {
	d := spdx(&debug.BuildInfo{
		GoVersion: "go1.26.1", Main: debug.Module{Path: "example.com/small"},
		Deps: []*debug.Module{
			{Path: "example.com/a", Version: "v1.0.0"},
			{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v2.0.0+incompatible"}},
		},
	}, "small", "1.2.3", "0a", time.Unix(0, 0).UTC())
	var got []string
	for _, p := range d.Packages {
		got = append(got, p.ExternalRefs[0].Locator)
	}
	want := []string{"pkg:golang/example.com/small@v1.2.3", "pkg:golang/example.com/a@v1.0.0", "pkg:golang/example.com/fork@v2.0.0%2Bincompatible", "pkg:golang/stdlib@1.26.1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range d.Packages {
		if ids[p.SPDXID] {
			t.Errorf("two packages are called %s", p.SPDXID)
		}
		ids[p.SPDXID] = true
	}
	for _, r := range d.Relationships {
		if !ids[r.Element] || !ids[r.Related] {
			t.Errorf("%+v is of something that is not there", r)
		}
	}
}

func TestRefusals(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for words, args := range map[string][]string{
		`version "next": want one like`: {"all", "--version", "next", "--out", t.TempDir()},
		`version "a b": want one like`:  {"image", "--version", "a b"},
		`version "": want`:              {"all"},
		"is not empty":                  {"all", "--version", "1.0.0", "--out", full},
		`platform "amd64"`:              {"image", "--version", "1.0.0", "--platform", "amd64", "--out", t.TempDir()},
	} {
		if _, err := run(t, args...); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%v: %v, want an error about %s", args, err, words)
		}
	}
}
