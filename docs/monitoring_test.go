package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// chartFile reads a file of the chart.
func chartFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "charts", "belfry", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// code is PromQL in a cell of a table.
func code(expr string) string { return "`" + strings.ReplaceAll(expr, "|", `\|`) + "`" }

// Each alert is told, with what makes it ring.
func TestAlertsReference(t *testing.T) {
	var doc struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(chartFile(t, "alerts.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	var w strings.Builder
	w.WriteString("# Alerts\n\nThose of the chart (`metrics.prometheusRule.enabled`); [monitoring](../monitoring.md) tells how to have them.\n" +
		"\n| alert | severity | rings when this holds | for | says |\n|---|---|---|---|---|\n")
	rules := 0
	for _, g := range doc.Groups {
		for _, r := range g.Rules {
			rules++
			says := r.Annotations["summary"]
			if more := r.Annotations["description"]; more != "" {
				says += ". " + more
			}
			fmt.Fprintf(&w, "| %s | %s | %s | %s | %s |\n", r.Alert, r.Labels["severity"], code(r.Expr), r.For, strings.ReplaceAll(says, "|", `\|`))
		}
	}
	if rules < 10 {
		t.Errorf("%d alerts were found; the search is broken", rules)
	}
	fresh(t, "alerts.md", w.String())
}

// Each panel is told, with its queries.
func TestDashboardReference(t *testing.T) {
	var doc struct {
		Panels []struct {
			Title, Description string
			FieldConfig        struct{ Defaults struct{ Unit string } }
			Targets            []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(chartFile(t, "dashboard.json"), &doc); err != nil {
		t.Fatal(err)
	}
	var w strings.Builder
	w.WriteString("# Dashboard\n\nThe panels of the Grafana dashboard in the chart (`metrics.dashboard.enabled`); [monitoring](../monitoring.md) tells how to\nhave it.\n" +
		"\n| panel | shows | queries |\n|---|---|---|\n")
	for _, p := range doc.Panels {
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q lacks a title, a description or a query", p.Title)
		}
		var queries []string
		for _, target := range p.Targets {
			queries = append(queries, code(target.Expr))
		}
		fmt.Fprintf(&w, "| %s | %s | %s |\n", p.Title, p.Description, strings.Join(queries, "<br>"))
	}
	if len(doc.Panels) < 10 {
		t.Errorf("%d panels were found; the search is broken", len(doc.Panels))
	}
	fresh(t, "dashboard.md", w.String())
}
