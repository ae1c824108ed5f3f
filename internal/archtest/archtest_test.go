package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// TestHouse checks this very module.
func TestHouse(t *testing.T) {
	found, err := Check(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

// TestModule makes sure that TestHouse looks where the module is, and knows its own imports when it sees them.
func TestModule(t *testing.T) {
	b, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(b), "\n"); first != "module "+module {
		t.Errorf("go.mod begins with %q, not with module %s", first, module)
	}
}

func TestCheck(t *testing.T) {
	const ours = `"github.com/belfry-lb/belfry/`
	tests := []struct {
		name  string
		files map[string]string // the sources after "package x"
		want  []string          // parts of the complaints, in order
	}{
		{"down is fine", map[string]string{
			"internal/plan/a.go":    `import (_ ` + ours + `internal/spec"; _ ` + ours + `api/v1beta1"; _ "net/netip"; _ "k8s.io/api/core/v1")`,
			"speaker/a.go":          `import (_ ` + ours + `speaker/l2"; _ ` + ours + `internal/plan"; _ ` + ours + `internal/kube"; _ "os")`,
			"cmd/belfry/main.go":    `import ("os"; _ ` + ours + `controllers"; _ ` + ours + `speaker"); func main() { os.Exit(1) }`,
			"controllers/a_test.go": `import _ ` + ours + `internal/kube"`,
			"e2e/demo/main.go":      `import ("os"; _ ` + ours + `e2e/cluster"); func main() { os.Exit(1) }`,
			"speaker/bgp/gobgp.go":  `import _ "github.com/osrg/gobgp/v3/pkg/server"`,
		}, nil},
		{"up", map[string]string{
			"api/v1beta1/a.go": `import _ ` + ours + `internal/spec"`,
		}, []string{"api/v1beta1/a.go:1: api (floor 0) must not import internal/spec (floor 1)"}},
		{"up, in a test", map[string]string{
			"internal/plan/a_test.go": `import _ ` + ours + `speaker"`,
		}, []string{"internal/plan (floor 1) must not import speaker (floor 3)"}},
		{"sideways", map[string]string{
			"controllers/a.go":   `import _ ` + ours + `speaker"`,
			"internal/kube/a.go": `import _ ` + ours + `controllers"`,
		}, []string{"controllers (floor 3) must not import speaker", "internal/kube (floor 3) must not import controllers"}},
		{"wires know one wire each", map[string]string{
			"speaker/l2/a.go":      `import (_ ` + ours + `speaker/members"; _ ` + ours + `internal/spec")`,
			"speaker/l2/sub/b.go":  `import _ ` + ours + `speaker/l2"`,
			"speaker/members/a.go": `import (_ "k8s.io/api/core/v1"; _ "sync"; _ "net")`,
		}, []string{
			"speaker/l2 (floor 2) must not import speaker/members", "speaker/l2 (floor 2) must not import internal/spec",
			"speaker/members speaks to the wire and knows nothing of Kubernetes, but imports k8s.io/api/core/v1",
		}},
		{"pure imports", map[string]string{
			"internal/alloc/a.go": "import (\n_ \"net\"\n_ \"os\"\n_ \"sync\"\n_ \"context\"\n_ \"math/rand/v2\"\n)",
			"internal/elect/a.go": "import (\n_ \"github.com/go-logr/logr\"\n_ \"github.com/prometheus/client_golang/prometheus\"\n" +
				"_ \"k8s.io/client-go/kubernetes\"\n_ \"k8s.io/apimachinery/pkg/util/wait\"\n_ \"k8s.io/apimachinery/pkg/types\"\n)",
			"internal/elect/a_test.go": `import (_ "os"; _ "sync")`,
		}, []string{
			"internal/alloc/a.go:2: internal/alloc is pure, but imports net:", "imports os:", "imports sync:", "imports context:", "imports math/rand/v2:",
			"imports github.com/go-logr/logr:", "imports github.com/prometheus/client_golang/prometheus:",
			"imports k8s.io/client-go/kubernetes:", "imports k8s.io/apimachinery/pkg/util/wait:",
		}},
		{"pure uses", map[string]string{
			"internal/alloc/a.go": "import (\n\"time\"\nclock \"time\"\nmetav1 \"k8s.io/apimachinery/pkg/apis/meta/v1\"\n)\n" +
				"var d time.Duration = time.Second\nfunc f() { time.Now(); clock.Sleep(d)\nmetav1.Now(); go f() }\nvar c chan int",
			"internal/alloc/b_test.go": "import \"time\"\nvar now = time.Now()",
			"speaker/a.go":             "import \"time\"\nvar now = time.Now()",
		}, []string{
			"internal/alloc/a.go:7: internal/alloc is pure, but uses time.Now", "uses clock.Sleep", "uses metav1.Now", "starts a goroutine", "has a channel",
		}},
		{"types", map[string]string{
			"api/v1beta1/a.go": `import (_ "k8s.io/apimachinery/pkg/runtime"; _ "sigs.k8s.io/controller-runtime")`,
		}, []string{"api holds types, but imports sigs.k8s.io/controller-runtime"}},
		{"exit", map[string]string{
			"speaker/a.go": "import \"os\"\nfunc f() { os.Exit(1) }",
		}, []string{"speaker/a.go:2: only programs in cmd may call os.Exit"}},
		{"sleep", map[string]string{
			"speaker/a_test.go":                 "import \"time\"\nfunc f() { time.Sleep(1) }",
			"speaker/b_test.go":                 `import ("time"; "testing/synctest"); func f() { time.Sleep(1); synctest.Wait() }`,
			"controllers/integration/a_test.go": `import "time"; func f() { time.Sleep(1) }`,
		}, []string{"speaker/a_test.go:2: tests wait for a condition"}},
		{"gobgp", map[string]string{
			"speaker/bgp/a.go":     `import _ "github.com/osrg/gobgp/v3/pkg/server"`,
			"speaker/bgp/sub/a.go": `import _ "github.com/osrg/gobgp/v3/api"`,
			"internal/cli/a.go":    `import _ "github.com/osrg/gobgp/v3/api"`,
		}, []string{
			"internal/cli/a.go:1: github.com/osrg/gobgp may be imported in speaker/bgp only",
			"internal/cli, speaker/bgp, speaker/bgp/sub: only one package may import github.com/osrg/gobgp",
		}},
		{"helpers of tests stay among tests", map[string]string{
			"controllers/a_test.go": `import _ ` + ours + `e2e/cluster"`,
		}, []string{"controllers (floor 3) must not import e2e/cluster"}},
		{"unknown", map[string]string{
			"pkg/util/a.go":         "",
			"internal/misc/a.go":    "",
			"a.go":                  "",
			"controllers/a.go":      `import _ ` + ours + `pkg/util"`,
			"controllersx/a.go":     "",
			"deps.go":               "//go:build deps", // kept out by its tag
			"tools/go.mod":          "module x",
			"tools/a.go":            "",
			"speaker/testdata/a.go": "not even Go",
		}, []string{
			"a.go:1: package . has no room", "controllers/a.go:1: imports pkg/util, which has no room", "package controllersx has no room",
			"package internal/misc has no room", "package pkg/util has no room",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, err := Check(sources(tt.files))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, found, cmp.Comparer(func(want, got string) bool {
				return strings.Contains(got, want) || strings.Contains(want, got)
			})); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckRefusesWhatDoesNotParse(t *testing.T) {
	if _, err := Check(fstest.MapFS{"cmd/a.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a file that is no Go passed")
	}
}

// sources puts each source behind a package clause, a build constraint before it.
func sources(texts map[string]string) fstest.MapFS {
	files := fstest.MapFS{}
	for name, src := range texts {
		text := "package x; " + src
		switch {
		case !strings.HasSuffix(name, ".go"):
			text = src
		case strings.HasPrefix(src, "//go:build"):
			text = src + "\n\npackage x"
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}
