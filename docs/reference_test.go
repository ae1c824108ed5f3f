package docs

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/belfry-lb/belfry/controllers"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/speaker"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

var update = flag.Bool("update", false, "write the pages of reference that are made from the code")

const generated = "<!-- Generated from the code by make generate. -->\n\n"

// fresh compares a page with what it should say, and with -update writes it.
func fresh(t *testing.T, name, want string) {
	t.Helper()
	path := filepath.Join("reference", name)
	want = generated + want
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/%s is not what the code says: run make generate", path)
	}
}

func TestFlagsReference(t *testing.T) {
	var w strings.Builder
	w.WriteString("# Flags\n\nWhat the programs can be told. The chart sets them from its values.\n")
	for _, c := range []string{"controller", "speaker", "selftest"} {
		cmd := exec.Command("go", "run", "../cmd/belfry", c, "--help")
		cmd.Env = append(os.Environ(), "NODE_NAME=", "POD_IP=", "POD_NAMESPACE=", "POD_NAME=", "POD_UID=")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("belfry %s --help: %v\n%s", c, err, out)
		}
		fmt.Fprintf(&w, "\n## belfry %s\n\n```\n%s\n```\n", c, strings.TrimSpace(string(out)))
	}
	fresh(t, "flags.md", w.String())
}

// recorder is a Registerer that remembers what was registered.
type recorder struct{ all []prometheus.Collector }

func (r *recorder) Register(c prometheus.Collector) error   { r.all = append(r.all, c); return nil }
func (r *recorder) MustRegister(cs ...prometheus.Collector) { r.all = append(r.all, cs...) }
func (r *recorder) Unregister(prometheus.Collector) bool    { return false }

type metric struct{ name, kind, labels, help string }

var described = regexp.MustCompile(`fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*")(?:, unit: "[^"]*")?, constLabels: \{[^}]*\}, variableLabels: \{([^}]*)\}`)

func (r *recorder) metrics(t *testing.T) (out []metric) {
	for _, c := range r.all {
		descs := make(chan *prometheus.Desc, 100)
		c.Describe(descs)
		close(descs)
		for d := range descs {
			m := described.FindStringSubmatch(d.String())
			if m == nil {
				t.Fatalf("cannot read %s", d)
			}
			help, err := strconv.Unquote(m[2])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, metric{m[1], kindOf(c, m[1]), m[3], help})
		}
	}
	slices.SortFunc(out, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return slices.Compact(out)
}

func kindOf(c prometheus.Collector, name string) string {
	switch typ := fmt.Sprintf("%T", c); {
	case strings.Contains(strings.ToLower(typ), "histogram"):
		return "histogram"
	case strings.HasSuffix(name, "_total"):
		return "counter"
	}
	return "gauge"
}

// discovery is as much of an API server as tells which kinds there are: all that the programs know.
func discovery(t *testing.T) http.Handler {
	t.Helper()
	scheme, err := kube.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	resources := map[schema.GroupVersion][]metav1.APIResource{}
	for kind := range scheme.AllKnownTypes() {
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		resources[kind.GroupVersion()] = append(resources[kind.GroupVersion()],
			metav1.APIResource{Name: plural.Resource, Kind: kind.Kind, Namespaced: kind.Kind == "Pod"})
	}
	mux := http.NewServeMux()
	serve := func(path string, o any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(o)
		})
	}
	var groups metav1.APIGroupList
	for gv, list := range resources {
		version := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		path := "/apis/" + gv.String()
		if gv.Group == "" {
			path = "/api/" + gv.Version
		} else {
			groups.Groups = append(groups.Groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version})
		}
		serve(path, metav1.APIResourceList{GroupVersion: gv.String(), APIResources: list})
	}
	serve("/api", metav1.APIVersions{Versions: []string{"v1"}})
	serve("/apis", groups)
	return mux
}

// registered returns the metrics of the controller and of the speaker.
func registered(t *testing.T) (controller, node []metric) {
	t.Helper()
	api := httptest.NewServer(discovery(t))
	t.Cleanup(api.Close)
	var c, s recorder
	o := controllers.DefaultOptions()
	o.Namespace, o.HealthAddress, o.MetricsAddress, o.Registerer, o.Log = "belfry-system", "0", "0", &c, logr.Discard()
	if _, err := controllers.New(&rest.Config{Host: api.URL}, o); err != nil {
		t.Fatal(err)
	}
	if _, err := speaker.New(speaker.Options{Node: "n1", Log: logr.Discard(), Registerer: &s}); err != nil {
		t.Fatal(err)
	}
	if _, err := members.New(members.Options{
		Name: "n1", Bind: netip.MustParseAddrPort("127.0.0.1:7947"), Key: []byte("k"), Log: logr.Discard(), Registerer: &s,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := liveness.New(liveness.Options{
		Name: "n1", Bind: netip.MustParseAddrPort("127.0.0.1:7948"), Key: []byte("k"), Log: logr.Discard(), Registerer: &s,
	}); err != nil {
		t.Fatal(err)
	}
	return c.metrics(t), s.metrics(t)
}

func TestMetricsReference(t *testing.T) {
	controller, node := registered(t)
	var w strings.Builder
	w.WriteString("# Metrics\n\nBoth programs serve them under `/metrics`, beside those of Go and of controller-runtime.\n")
	for _, part := range []struct {
		name    string
		metrics []metric
	}{{"belfry controller", controller}, {"belfry speaker", node}} {
		fmt.Fprintf(&w, "\n## %s\n\n| metric | type | labels | meaning |\n|---|---|---|---|\n", part.name)
		for _, m := range part.metrics {
			labels := ""
			if m.labels != "" {
				labels = "`" + strings.ReplaceAll(m.labels, ",", "`, `") + "`"
			}
			fmt.Fprintf(&w, "| `%s` | %s | %s | %s |\n", m.name, m.kind, labels, m.help)
		}
	}
	fresh(t, "metrics.md", w.String())
}

// Prometheus' own rules for names and help texts.
func TestMetricsAreWellNamed(t *testing.T) {
	controller, node := registered(t)
	for _, m := range slices.Concat(controller, node) {
		if !strings.HasPrefix(m.name, "belfry_") {
			t.Errorf("%s does not begin with belfry_", m.name)
		}
		family := &dto.MetricFamily{Name: &m.name, Help: &m.help, Type: typeOf(m.kind)}
		for _, label := range strings.FieldsFunc(m.labels, func(r rune) bool { return r == ',' }) {
			family.Metric = append(family.Metric, &dto.Metric{Label: []*dto.LabelPair{{Name: &label}}})
		}
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// bounds says why no label takes more and more values: a series that stays when what it is about has gone costs memory for ever.
var bounds = map[string]string{
	"peer":      "BGPPeers that there are: the series go with them",
	"pool":      "IPAddressPools that there are: the series go with them",
	"community": "Communities that there are: the series go with them",
	"mac":       "the 50 newest conflicts: the series go with them",
	"interface": "interfaces that the node announces on",

	"family": "IPv4, IPv6", "protocol": "arp, ndp", "direction": "sent, received", "type": "the messages of BGP", "kind": "kinds that are written",
	"result": "how a write ends", "reason": "words of docs/reference/reasons.md, and why packets are dropped", "change": "join, leave, update",
	"state": "words", "status": "True, False, Unknown", "allocated": "true, false", "full": "true, false",
}

// No label takes what users or strangers can make up: addresses, Services, namespaces, nodes, messages.
func TestLabelsAreBounded(t *testing.T) {
	controller, node := registered(t)
	unused := maps.Clone(bounds)
	for _, m := range slices.Concat(controller, node) {
		for _, label := range strings.FieldsFunc(m.labels, func(r rune) bool { return r == ',' }) {
			if bounds[label] == "" {
				t.Errorf("%s has the label %s: what bounds it?", m.name, label)
			}
			delete(unused, label)
		}
	}
	for label := range unused {
		t.Errorf("no metric has the label %s", label)
	}
}

func typeOf(kind string) *dto.MetricType {
	switch kind {
	case "counter":
		return dto.MetricType_COUNTER.Enum()
	case "histogram":
		return dto.MetricType_HISTOGRAM.Enum()
	}
	return dto.MetricType_GAUGE.Enum()
}

// word is a constant that users meet, with its comment.
type word struct{ value, meaning string }

// words finds the string constants of a directory whose names begin so.
func words(t *testing.T, dir, prefix string) (out []word) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != filepath.Join(root, dir) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, prefix) && len(v.Values) == 1 {
				if lit, ok := v.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING && lit.Value != `""` {
					value, _ := strconv.Unquote(lit.Value)
					out = append(out, word{value, meaning(v)})
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b word) int { return strings.Compare(a.value, b.value) })
	return out
}

// meaning is the comment without the name that it begins with.
func meaning(v *ast.ValueSpec) string {
	text := v.Doc.Text()
	if text == "" {
		text = v.Comment.Text()
	}
	text = strings.Join(strings.Fields(text), " ")
	if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, v.Names[0].Name) {
		text = strings.ToUpper(rest[:1]) + rest[1:]
	}
	return text
}

func TestReasonsReference(t *testing.T) {
	var w strings.Builder
	w.WriteString("# Reasons and events\n\nThe words that stand in conditions, events, logs and metrics.\n")
	for _, part := range []struct{ title, dir, prefix string }{
		{"What is wrong with an object", "internal/spec", "Reason"},
		{"Why a Service has its addresses, or not", "internal/alloc", "Reason"},
		{"Why an address is not announced", "internal/plan", "Reason"},
		{"Why a node does not answer for an address", "speaker/l2", "Problem"},
		{"Why a BGP session is down, or a route not announced", "speaker/bgp", "Reason"},
		{"Why a BGP session is not tried for", "speaker", "reason"},
		{"Why a speaker is ready, or not", "speaker", "because"},
		{"What else conditions say", "controllers", "reason"},
		{"Events", "controllers", "event"},
	} {
		found := words(t, part.dir, part.prefix)
		if len(found) == 0 {
			t.Errorf("no words were found in %s; the search is broken", part.dir)
		}
		fmt.Fprintf(&w, "\n## %s\n\n| word | meaning |\n|---|---|\n", part.title)
		for _, r := range found {
			if r.meaning == "" {
				t.Errorf("%s: %s has no comment that tells its meaning", part.dir, r.value)
			}
			fmt.Fprintf(&w, "| `%s` | %s |\n", r.value, r.meaning)
		}
	}
	fresh(t, "reasons.md", w.String())
}
