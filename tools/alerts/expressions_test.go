package alerts

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// metric is one that the programs have.
type metric struct {
	kind   string
	labels []string
}

// row of docs/reference/metrics.md, which is made from what the programs register.
var (
	row  = regexp.MustCompile("(?m)^\\| `(belfry_[a-z0-9_]+)` \\| ([a-z]+) \\| (.*?) \\|")
	name = regexp.MustCompile("`([a-z]+)`")
)

func metrics(t *testing.T) map[string]metric {
	t.Helper()
	b, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]metric{}
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		var labels []string
		for _, l := range name.FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		out[m[1]] = metric{m[2], labels}
	}
	if len(out) < 30 {
		t.Fatalf("%d metrics were found; the search is broken", len(out))
	}
	return out
}

// added are the labels that Prometheus puts on each series by the chart's monitors.
var added = []string{"job", "namespace", "pod", "instance", "node", "container", "endpoint"}

// expressions returns those of the alerts and of the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for alert, r := range rules(t) {
		out["alert "+alert] = r.Expr
	}
	b, err := os.ReadFile("../../charts/belfry/files/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(b, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			out["panel "+p.Title+" "+target.RefID] = target.Expr
		}
	}
	return out
}

// TestExpressions: all of them are PromQL, on metrics and labels that there are.
func TestExpressions(t *testing.T) {
	there, all := metrics(t), expressions(t)
	if len(all) < 30 {
		t.Fatalf("%d expressions were found; the search is broken", len(all))
	}
	for where, text := range all {
		for _, problem := range check(there, text) {
			t.Errorf("%s: %s: %s", where, text, problem)
		}
	}
}

// check returns what is wrong with an expression.
func check(there map[string]metric, text string) (problems []string) {
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		return []string{err.Error()}
	}
	known := slices.Clone(added)
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		m, found := lookUp(there, s.Name)
		if !found {
			problems = append(problems, "there is no metric "+s.Name)
			return nil
		}
		known = append(known, m.labels...)
		for _, l := range s.LabelMatchers {
			if l.Name != "__name__" && !slices.Contains(append(slices.Clone(added), m.labels...), l.Name) {
				problems = append(problems, s.Name+" has no label "+l.Name)
			}
		}
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		var used []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			used = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				used = n.VectorMatching.MatchingLabels
			}
		}
		for _, l := range used {
			if !slices.Contains(known, l) {
				problems = append(problems, "nothing in it has the label "+l)
			}
		}
		return nil
	})
	return problems
}

// lookUp finds a metric, or the histogram that a series is of.
func lookUp(there map[string]metric, series string) (metric, bool) {
	if m, found := there[series]; found && m.kind != "histogram" {
		return m, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, cut := strings.CutSuffix(series, suffix)
		if m, found := there[base]; cut && found && m.kind == "histogram" {
			return metric{m.kind, append([]string{"le"}, m.labels...)}, true
		}
	}
	return metric{}, false
}

// The check finds what it is there for.
func TestCheck(t *testing.T) {
	there := map[string]metric{"belfry_a": {"gauge", []string{"peer"}}, "belfry_h_seconds": {"histogram", nil}}
	for text, want := range map[string]int{
		`sum by (peer, node) (belfry_a{peer="x"})`:                                 0,
		`histogram_quantile(0.9, sum by (le) (rate(belfry_h_seconds_bucket[5m])))`: 0,
		`belfry_b`:                           1,
		`belfry_a{pool="x"}`:                 1,
		`sum by (pool) (belfry_a)`:           1,
		`rate(belfry_h_seconds[5m])`:         1,
		`belfry_a unless on (nope) belfry_a`: 1,
		`sum(belfry_a`:                       1,
		`belfry_a_bucket`:                    1,
	} {
		if got := check(there, text); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}
