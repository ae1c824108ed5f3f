package migrate

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

// Each file of the corpus has the shape of configurations that people publish.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			got := write(t, read(t, file))
			golden := strings.TrimSuffix(file, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func read(t *testing.T, file string) Result {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(filepath.Base(file), "values-") {
		o, err := ChartValues(string(b))
		if err != nil {
			t.Fatal(err)
		}
		return From([]*unstructured.Unstructured{o})
	}
	objects, err := Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return From(objects)
}

func write(t *testing.T, r Result) string {
	t.Helper()
	var w strings.Builder
	for _, n := range r.Notes {
		fmt.Fprintf(&w, "# %s\n", n)
	}
	for _, s := range r.Secrets {
		fmt.Fprintf(&w, "# copy Secret %s/%s\n", s.Namespace, s.Name)
	}
	for _, path := range slices.Sorted(maps.Keys(r.Values)) {
		fmt.Fprintf(&w, "# %s\n", Flag(path, r.Values[path]))
	}
	for _, o := range r.Objects {
		b, err := yaml.Marshal(o.Object)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&w, "---\n%s", b)
	}
	return w.String()
}

// What comes out does not depend on the order of what went in.
func TestOrderDoesNotMatter(t *testing.T) {
	b, err := os.ReadFile("testdata/metallb-bgp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Parse(string(b))
	if err != nil {
		t.Fatal(err)
	}
	want := write(t, From(objects))
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rnd.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		if got := write(t, From(objects)); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// Objects of ours and of strangers are passed over, and the input is not changed.
func TestStrangersArePassedOver(t *testing.T) {
	in := "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n---\napiVersion: belfry.dev/v1beta1\nkind: IPAddressPool\nmetadata: {name: a}\nspec: {addresses: [192.0.2.0/24]}\n"
	objects, err := Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	if r := From(objects); len(r.Objects)+len(r.Notes) > 0 {
		t.Errorf("got %+v", r)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"a: [", "document 1"},
		{"apiVersion: v1\nkind: A\n---\n- 1\n", "document 2"},
		{"spec: {}\n", "no apiVersion and kind"},
	} {
		if _, err := Parse(tc.in); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("Parse(%q): %v, want %q", tc.in, err, tc.want)
		}
	}
}

func TestGlobOf(t *testing.T) {
	for in, want := range map[string]string{
		"^eth[0-9]+": "eth[0-9]*", "^eth0$": "eth0", "eno.*": "eno*", `^bond\d+$`: "bond[0-9]*", "ens": "ens*",
		"^(en|wl).*": "", "^eth0.10": "",
	} {
		if got, ok := globOf(in); got != want || ok != (want != "") {
			t.Errorf("globOf(%q) = %q, %v, want %q", in, got, ok, want)
		}
	}
}

// Whatever is in the fields, nothing panics, and what comes out is readable by Belfry.
func FuzzFrom(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		f.Add(string(b))
	}
	f.Fuzz(func(t *testing.T, in string) {
		objects, err := Parse(in)
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.GroupVersionKind().Kind == "" {
				t.Fatal("an object without a kind")
			}
		}
		_ = From(objects)
	})
}

// As with helm, the later file wins, value by value.
func TestChartValuesMerge(t *testing.T) {
	o, err := ChartValues("speaker: {logLevel: debug, ignoreExcludeLB: true}\nloadBalancerClass: a", "speaker: {ignoreExcludeLB: false}\nloadBalancerClass: b")
	if err != nil {
		t.Fatal(err)
	}
	got := From([]*unstructured.Unstructured{o}).Values
	if want := (map[string]any{"speaker.logLevel": "debug", "loadBalancerClass": "b", "handleUnclassed": false}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := ChartValues("a: b", "- a"); err == nil || !strings.Contains(err.Error(), "values file 2") {
		t.Errorf("a list: %v", err)
	}
}

func FuzzChartValues(f *testing.F) {
	files, _ := filepath.Glob("testdata/values-*.yaml")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		f.Add(string(b))
	}
	f.Fuzz(func(_ *testing.T, in string) {
		if o, err := ChartValues(in); err == nil {
			_ = From([]*unstructured.Unstructured{o})
		}
	})
}

// Each value that is named exists in Belfry's chart.
func TestValuesExist(t *testing.T) {
	b, err := os.ReadFile("../../charts/belfry/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var chart map[string]any
	if err := yaml.Unmarshal(b, &chart); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	for _, file := range files {
		for path := range read(t, file).Values {
			named[path] = true
			if _, there, err := unstructured.NestedFieldNoCopy(chart, strings.Split(path, ".")...); err != nil || !there {
				t.Errorf("%s: there is no value %s in the chart: %v", file, path, err)
			}
		}
	}
	if len(named) < 10 {
		t.Errorf("only these were named: %v", named)
	}
}
