//go:build soak

package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestSoakRelease makes a release of these sources and looks at everything in it as those do who download it.
func TestSoakRelease(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	helm := helm(t)
	files := release(t, filepath.Join("..", ".."), helm)
	testChecksums(t, files)
	testPlugin(t, files)
	for name, data := range files {
		if strings.HasPrefix(name, "kubectl-belfry-") {
			testPlatform(t, name, data)
		}
	}
	programs := testImage(t, files["belfry-1.2.3-image.tar"])
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		testProgram(t, programs[arch], machine)
		testBill(t, files["belfry-1.2.3-linux-"+arch+".spdx.json"], programs[arch])
	}
	if out, err := exec.CommandContext(t.Context(), programs[runtime.GOARCH], "version").Output(); err != nil || !strings.Contains(string(out), "v1.2.3") {
		t.Errorf("the program in the image says %q, %v", out, err)
	}
	testChart(t, files["belfry-1.2.3.tgz"], "1.2.3", repository, "false")
	testPackedChart(t, helm, files["belfry-1.2.3.tgz"])
	testManifests(t, files)
}

// testPlatform checks that the program in an archive of the plugin is for the platform that its name says.
func testPlatform(t *testing.T, name string, archive []byte) {
	t.Helper()
	program := entries(t, archive)[0]
	system, arch, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(name, ".zip"), ".tar.gz"), "kubectl-belfry-1.2.3-"), "-")
	machine := ""
	switch r := bytes.NewReader(program.data); system {
	case "linux":
		if f, err := elf.NewFile(r); err == nil {
			machine = f.Machine.String()
		}
	case "darwin":
		if f, err := macho.NewFile(r); err == nil {
			machine = f.Cpu.String()
		}
	case "windows":
		if f, err := pe.NewFile(r); err == nil {
			machine = map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64"}[f.Machine]
		}
	}
	want := map[string]string{
		"linux-amd64": "EM_X86_64", "linux-arm64": "EM_AARCH64", "darwin-amd64": "CpuAmd64", "darwin-arm64": "CpuArm64",
		"windows-amd64": "amd64", "windows-arm64": "arm64",
	}[system+"-"+arch]
	if machine != want || want == "" {
		t.Errorf("%s: %s is for %q, want %q", name, program.name, machine, want)
	}
}

// testProgram checks that a program is for a machine, and needs nothing of what it finds there.
func testProgram(t *testing.T, path string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("it is for %s, want %s", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("for %s: it is not static", machine)
		}
	}
}

// testBill checks that a bill of materials is of this very program, and names what it is known to contain.
func testBill(t *testing.T, bill []byte, program string) {
	t.Helper()
	b, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	d, sum := validSPDX(t, bill), sha256.Sum256(b)
	if got := d.Packages[0].Checksums; len(got) != 1 || got[0].Value != hex.EncodeToString(sum[:]) {
		t.Errorf("%s is of a program with sum %+v, want %x", d.Name, got, sum)
	}
	has := map[string]bool{}
	for _, p := range d.Packages {
		has[p.Name] = true
	}
	for _, name := range []string{"github.com/belfry-lb/belfry", "github.com/osrg/gobgp/v3", "k8s.io/client-go", "stdlib"} {
		if !has[name] {
			t.Errorf("%s does not name %s", d.Name, name)
		}
	}
}

// testPackedChart checks that helm takes the package, and that what comes out of it runs the image of this release.
func testPackedChart(t *testing.T, helm string, chart []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "belfry-1.2.3.tgz")
	if err := os.WriteFile(path, chart, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"lint", "--strict", "--quiet", path},
		{"template", "belfry", path, "--namespace", "belfry-system", "--kube-version", "1.31.0", "--set", "quickstart.addresses=192.168.1.240-192.168.1.250"},
	} {
		out, err := exec.CommandContext(t.Context(), helm, args...).CombinedOutput()
		if err != nil {
			t.Errorf("helm %s: %v: %s", args[0], err, out)
		}
		if args[0] == "template" {
			testImages(t, "what helm makes of the chart", out)
		}
	}
}

func testManifests(t *testing.T, files map[string][]byte) {
	t.Helper()
	testImages(t, "install.yaml", files["install.yaml"])
	kinds := 0
	for document := range strings.SplitSeq("\n"+string(files["crds.yaml"]), "\n---\n") {
		var o struct{ Kind string }
		if err := yaml.Unmarshal([]byte(document), &o); err != nil {
			t.Error(err)
		}
		if o.Kind == "CustomResourceDefinition" {
			kinds++
		}
	}
	if kinds != 8 {
		t.Errorf("crds.yaml has %d kinds, want 8", kinds)
	}
}

// testImages checks that manifests run the image of this release, and bear its version and no other.
func testImages(t *testing.T, what string, manifests []byte) {
	t.Helper()
	images := 0
	for line := range strings.Lines(string(manifests)) {
		line = strings.TrimSpace(line)
		if image, found := strings.CutPrefix(line, "image: "); found {
			images++
			if strings.Trim(image, `"`) != repository+":1.2.3" {
				t.Errorf("%s: %s", what, line)
			}
		}
		if version, found := strings.CutPrefix(line, "app.kubernetes.io/version: "); found && strings.Trim(version, `"`) != "1.2.3" {
			t.Errorf("%s: %s", what, line)
		}
		if strings.HasPrefix(line, "helm.sh/chart: ") && line != "helm.sh/chart: belfry-1.2.3" {
			t.Errorf("%s: %s", what, line)
		}
	}
	if images < 2 {
		t.Errorf("%s: %d images", what, images)
	}
}
