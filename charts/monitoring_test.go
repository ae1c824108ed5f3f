package charts_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/charts/render"
)

// expression is one line of PromQL and where it stands.
type expression struct{ where, text string }

// alerts returns the expressions of files/alerts.yaml; each alert must say who is hurt, and how badly.
func alerts(t *testing.T) (out []expression) {
	t.Helper()
	var doc struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.UnmarshalStrict(file(t, "files", "alerts.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	for _, g := range doc.Groups {
		for _, r := range g.Rules {
			if s := r.Labels["severity"]; s != "warning" && s != "critical" || r.Annotations["summary"] == "" || !strings.HasPrefix(r.Alert, "Belfry") {
				t.Errorf("alert %s: labels %v, annotations %v", r.Alert, r.Labels, r.Annotations)
			}
			out = append(out, expression{"alert " + r.Alert, r.Expr})
		}
	}
	return out
}

func dashboard(t *testing.T) (out []expression) {
	t.Helper()
	var doc struct {
		UID    string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(file(t, "files", "dashboard.json"), &doc); err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Panels {
		for _, target := range p.Targets {
			out = append(out, expression{"panel " + p.Title, target.Expr})
		}
	}
	return out
}

// TestExpressionsUseMetricsThatExist: an alert on a metric that nobody has would never ring.
func TestExpressionsUseMetricsThatExist(t *testing.T) {
	exist := metrics(t)
	all := append(alerts(t), dashboard(t)...)
	if len(all) < 20 || len(exist) < 20 {
		t.Fatalf("%d expressions and %d metrics were found; the search is broken", len(all), len(exist))
	}
	name := regexp.MustCompile(`belfry_[a-z0-9_]+`)
	for _, e := range all {
		used := name.FindAllString(e.text, -1)
		if len(used) == 0 {
			t.Errorf("%s: %s uses no metric of ours", e.where, e.text)
		}
		for _, m := range used {
			base := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(m, "_bucket"), "_sum"), "_count")
			if !exist[m] && !exist[base] {
				t.Errorf("%s: there is no metric %s", e.where, m)
			}
		}
	}
}

// metrics finds the names of all metrics in the sources: literals that begin with belfry_, and for a function that puts a
// subsystem before its first argument, those arguments.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "metrics.go" {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		subsystem := ""
		ast.Inspect(f, func(n ast.Node) bool {
			if kv, ok := n.(*ast.KeyValueExpr); ok {
				if key, ok := kv.Key.(*ast.Ident); ok && key.Name == "Subsystem" {
					subsystem = literal(kv.Value)
				}
			}
			return true
		})
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s := literal(n); strings.HasPrefix(s, "belfry_") {
					found[s] = true
				}
			case *ast.CallExpr:
				if len(n.Args) > 1 && subsystem != "" {
					if s := literal(n.Args[0]); s != "" {
						found["belfry_"+subsystem+"_"+s] = true
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		return strings.Trim(l.Value, "\"`")
	}
	return ""
}
