package alerts

import (
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const file = "../../charts/belfry/files/alerts.yaml"

// step is how often series have a sample and rules are evaluated.
const step = time.Minute

// rules returns the alerts by name. Prometheus itself says that they are well-formed.
func rules(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile(file, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	out := map[string]rulefmt.Rule{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			out[r.Alert] = r
		}
	}
	return out
}

// alert is one that rings.
type alert struct {
	since  time.Time // since when its expression holds
	labels labels.Labels
}

// ringing evaluates a rule once a step from 0 to at, and returns what rings then.
func ringing(t *testing.T, r rulefmt.Rule, series string, at time.Duration) []alert {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 1m"+series)
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 100000)
	holds := map[string]alert{}
	end := time.Unix(0, 0).Add(at)
	for now := time.Unix(0, 0); !now.After(end); now = now.Add(step) {
		query, err := engine.NewInstantQuery(t.Context(), storage, nil, r.Expr, now)
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(t.Context())
		found, err := result.Vector()
		if err != nil {
			t.Fatal(err)
		}
		holds = next(holds, found, now)
		query.Close()
	}
	maps.DeleteFunc(holds, func(_ string, a alert) bool { return end.Sub(a.since) < time.Duration(r.For) })
	return slices.Collect(maps.Values(holds))
}

// next keeps what still holds, and forgets what does not.
func next(before map[string]alert, found promql.Vector, now time.Time) map[string]alert {
	after := map[string]alert{}
	for _, s := range found {
		key := s.Metric.String()
		a, known := before[key]
		if !known {
			a = alert{now, s.Metric}
		}
		after[key] = a
	}
	return after
}

var label = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// TestAlerts: each alert rings when it should, and not before; what it says, it knows.
func TestAlerts(t *testing.T) {
	all := rules(t)
	tested := map[string]bool{}
	for _, tt := range stories {
		t.Run(tt.alert+"/"+tt.name, func(t *testing.T) {
			r, there := all[tt.alert]
			if !there {
				t.Fatal("there is no such alert")
			}
			if got := len(ringing(t, r, tt.series, tt.at)); got != tt.rings {
				t.Fatalf("after %s %d ring, want %d", tt.at, got, tt.rings)
			}
			if tt.rings == 0 {
				return
			}
			tested[tt.alert] = true
			if before := tt.since + time.Duration(r.For) - step; before >= 0 && len(ringing(t, r, tt.series, before)) > 0 {
				t.Errorf("it rings after %s already", before)
			}
			for _, a := range ringing(t, r, tt.series, tt.at) {
				for _, text := range r.Annotations {
					for _, m := range label.FindAllStringSubmatch(text, -1) {
						if a.labels.Get(m[1]) == "" {
							t.Errorf("%q: what rings has only %s", text, a.labels)
						}
					}
				}
			}
		})
	}
	for name := range all {
		if !tested[name] {
			t.Errorf("no story has %s ring", name)
		}
		if !slices.ContainsFunc(stories, func(s story) bool { return s.alert == name && s.rings == 0 }) {
			t.Errorf("no story has %s stay silent", name)
		}
	}
}
