//go:build linux

package cluster

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestOptions(t *testing.T) {
	t.Setenv("K8S_VERSION", "")
	for name, tc := range map[string]struct {
		in   Options
		want string // part of the error; none if empty
	}{
		"zero":                   {Options{}, ""},
		"long name":              {Options{Name: "abcdefghijkl"}, ""},
		"too long":               {Options{Name: "abcdefghijklm"}, "lab name"},
		"capitals":               {Options{Name: "Lab"}, "lab name"},
		"path":                   {Options{Name: "../x"}, "lab name"},
		"dash at the end":        {Options{Name: "a-"}, "lab name"},
		"too many nodes":         {Options{Nodes: 81}, "81 nodes"},
		"no clients":             {Options{Clients: -1}, "-1 clients"},
		"mode of a missing node": {Options{Nodes: 1, ProxyModes: map[int]ProxyMode{2: ProxyIPTables}}, "node 2"},
		"unknown mode":           {Options{ProxyModes: map[int]ProxyMode{1: "ipvs"}}, `"ipvs"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.in.complete()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
}

func TestOptionsDefaults(t *testing.T) {
	t.Setenv("K8S_VERSION", "1.34.4")
	o, err := Options{ProxyModes: map[int]ProxyMode{3: ProxyIPTables}}.complete()
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]ProxyMode{1: ProxyNFTables, 2: ProxyIPTables, 3: ProxyIPTables}
	if diff := cmp.Diff(want, o.ProxyModes); diff != "" {
		t.Error(diff)
	}
	if o.Name != DefaultName || o.Nodes != 3 || o.Clients != 1 || o.Version != "1.34.4" {
		t.Errorf("defaults: %+v", o)
	}
}

func TestPlan(t *testing.T) {
	p := plan{name: "x", index: 7}
	for got, want := range map[string]string{
		p.lan4().String(): "172.30.7.0/24", p.lan6().String(): "fd00:172:30:7::/64",
		p.addr4(200).String(): "172.30.7.200", p.addr6(200).String(): "fd00:172:30:7::200",
		p.rootAddr().String(): "198.18.7.1", p.apiAddr().String(): "198.18.7.2", p.netns("n1"): "bf-x-n1",
		podCIDR4(80).String(): "10.244.80.0/24", podCIDR6(80).String(): "fd00:10:244:80::/64",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if !p.lan6().Contains(p.addr6(254)) || !p.lan4().Contains(p.addr4(1)) {
		t.Error("a host is not in its own LAN")
	}
	if preferredIndex(DefaultName) != 0 {
		t.Error("the default lab must have the addresses of the samples")
	}
	for _, name := range []string{"a", "b", "abcdefghijkl", "t1234a"} {
		if i := preferredIndex(name); i < 1 || i >= maxIndex {
			t.Errorf("index %d of %s", i, name)
		}
	}
}

// TestHostsAreApart: no two hosts of the largest lab share an address, and none has one that is meant for pools.
func TestHostsAreApart(t *testing.T) {
	seen := map[netip.Addr]string{}
	r := record{Name: "x", Nodes: maxNodes, Clients: maxClients, Routers: maxRouters}
	for _, h := range append(r.lanHosts(), hostAddr{"lan", gatewayByte}) {
		for _, a := range []netip.Addr{r.plan().addr4(h.last), r.plan().addr6(h.last)} {
			if seen[a] != "" || h.last >= 200 {
				t.Errorf("%s and %q have %s", h.name, seen[a], a)
			}
			seen[a] = h.name
		}
	}
}

func TestProcessIdentity(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	p, err := identify(cmd.Process.Pid)
	if err != nil || !p.alive() {
		t.Fatalf("a running process is not alive: %v", err)
	}
	recycled := process{PID: p.PID, Start: p.Start + 1}
	if recycled.alive() {
		t.Error("another process with the id counts as this one")
	}
	if err := recycled.signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) || !p.alive() {
		t.Errorf("another process with the id was killed: %v", err)
	}
	for _, nobody := range []process{{}, {PID: -1}} {
		if err := nobody.signal(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signalling %v: %v", nobody, err)
		}
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Nobody has waited for it: a zombie is dead too.
	if err := p.gone(t.Context()); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestSpawnerEndsItsChildren(t *testing.T) {
	s := newSpawner(true)
	p, err := s.start(filepath.Join(t.TempDir(), "log"), nil, "/bin/sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	if err := p.gone(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestClaimStateDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := claimStateDir(dir, "a"); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "log", "old.log")
	if err := os.WriteFile(old, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := claimStateDir(dir, "a"); err != nil || exists(old) {
		t.Errorf("the same lab's leftovers: %v, still there: %v", err, exists(old))
	}
	if err := claimStateDir(dir, "b"); err == nil {
		t.Error("another lab's directory was taken")
	}
	foreign := t.TempDir()
	precious := filepath.Join(foreign, "precious")
	if err := os.WriteFile(precious, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := claimStateDir(foreign, "a"); err == nil || !exists(precious) {
		t.Errorf("a directory of something else was taken: %v", err)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lockFile(short, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a lock was held twice: %v", err)
	}
	unlock()
	again, err := lockFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestKubeletConfiguration: what a kubelet does not know, or keeps behind a gate, it dies of.
func TestKubeletConfiguration(t *testing.T) {
	for version, want := range map[string]bool{"1.33.13": false, "1.34.4": false, "1.35.0": true, DefaultVersion: true, "1.36.1": true} {
		file := filepath.Join(t.TempDir(), "kubelet.yaml")
		if err := render("kubelet.yaml", file, nodeFacts{MayRestartSoon: mayRestartSoon(version)}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := yaml.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", version, err)
		}
		if _, has := got["crashLoopBackOff"]; has != want || got["nodeStatusUpdateFrequency"] != "3s" {
			t.Errorf("%s:\n%s", version, text)
		}
	}
}

func TestGoModFor(t *testing.T) {
	upstream := "module k8s.io/kubernetes\n\ngo 1.24.0\n\nrequire k8s.io/api v0.0.0\n\nreplace (\n" +
		"\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n"
	want := "module github.com/belfry-lb/belfry/e2e/cluster/k8s\n\ngo 1.24.0\n\ngodebug default=go1.24\n\n" +
		"require k8s.io/kubernetes v1.34.4\n\nreplace (\n" +
		"\tk8s.io/api => k8s.io/api v0.34.4\n\tk8s.io/kubelet => k8s.io/kubelet v0.34.4\n)\n"
	if diff := cmp.Diff(want, string(goModFor("1.34.4", upstream))); diff != "" {
		t.Error(diff)
	}
}

func TestFindModulesRefusesVersions(t *testing.T) {
	for _, v := range []string{"v1.35.4", "1.35", "latest", "1.35.4/../x"} {
		if _, _, err := findModules(t.Context(), v); err == nil {
			t.Errorf("version %q was accepted", v)
		}
	}
}

// TestPinnedVersion: the nested module is what DefaultVersion says.
func TestPinnedVersion(t *testing.T) {
	mod, err := os.ReadFile("k8s/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(mod), "require k8s.io/kubernetes v"+DefaultVersion+"\n") {
		t.Errorf("k8s/go.mod does not require %s", DefaultVersion)
	}
}

func TestSynced(t *testing.T) {
	const name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	for text, want := range map[string]bool{
		"":                                      false,
		name + "{ip_family=\"IPv4\"} 1.7e+09\n": false,
		name + "{ip_family=\"IPv4\"} 1.7e+09\n" + name + "{ip_family=\"IPv6\"} 0\n":       false,
		name + "{ip_family=\"IPv4\"} 1.7e+09\n" + name + "{ip_family=\"IPv6\"} 1.7e+09\n": true,
		name + " 1.7e+09\n": true,
		name + " 0\n":       false,
	} {
		if synced(text) != want {
			t.Errorf("synced(%q) = %v", text, !want)
		}
	}
}

func TestNodeReady(t *testing.T) {
	ready := `{"status":{"nodeInfo":{"bootID":"b"},"conditions":[{"type":"Ready","status":"True"}]}}`
	for text, want := range map[string]bool{
		`{}`:                                    false,
		ready:                                   true,
		strings.Replace(ready, `"b"`, `"a"`, 1): false,
		strings.Replace(ready, `"True"`, `"False"`, 1):                                                                 false,
		strings.Replace(ready, `{"status"`, `{"spec":{"taints":[{"key":"node.kubernetes.io/not-ready"}]},"status"`, 1): false,
		strings.Replace(ready, `{"status"`, `{"spec":{"taints":[{"key":"belfry.dev/drain"}]},"status"`, 1):             true,
	} {
		var n nodeState
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		if n.ready("b") != want {
			t.Errorf("ready of %s: %v", text, !want)
		}
	}
}

func TestBuildImage(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("first"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec := ImageSpec{
		Name: "localhost/x:1", Files: map[string]string{"/usr/bin/program": program}, Entrypoint: []string{"/usr/bin/program"}, User: "65532",
	}
	build := func() string {
		path, err := BuildImage(spec)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := build()
	if again := build(); again != path {
		t.Errorf("the same content gave %s and %s", path, again)
	}
	archive := untar(t, path)
	type blob struct {
		Digest      string
		Annotations map[string]string
	}
	var index struct{ Manifests []blob }
	var manifest struct{ Layers []blob }
	if err := json.Unmarshal(archive["index.json"], &index); err != nil || index.Manifests[0].Annotations["io.containerd.image.name"] != spec.Name {
		t.Fatalf("index %s: %v", archive["index.json"], err)
	}
	read := func(b blob) []byte { return archive["blobs/"+strings.Replace(b.Digest, ":", "/", 1)] }
	if err := json.Unmarshal(read(index.Manifests[0]), &manifest); err != nil || len(manifest.Layers) != 1 {
		t.Fatalf("manifest %s: %v", read(index.Manifests[0]), err)
	}
	layer := entries(t, read(manifest.Layers[0]))
	if diff := cmp.Diff(map[string]string{"tmp/": "", "usr/": "", "usr/bin/": "", "usr/bin/program": "first"}, layer); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(program, []byte("second"), 0o644); err != nil {
		t.Fatal(err)
	}
	if build() == path {
		t.Error("other content gave the same file")
	}
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for name, text := range entries(t, data) {
		all[name] = []byte(text)
	}
	return all
}

func entries(t *testing.T, data []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = string(text)
	}
}

// TestArrange: what an installed package would have linked is there, and every link is relative.
func TestArrange(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"usr/sbin/nft", "usr/sbin/xtables-nft-multi", "usr/lib/x86/libnft.so.1", "usr/lib/x86/xtables/libxt_tcp.so", "usr/lib/cni/bridge"} {
		path := filepath.Join(dir, "root", file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := arrange(dir); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"bin/nft", "bin/iptables", "bin/ip6tables-restore", "lib/libnft.so.1", "xtables/libxt_tcp.so", "cni/bridge"} {
		if _, err := os.Stat(filepath.Join(moved, path)); err != nil {
			t.Error(err)
		}
	}
}
