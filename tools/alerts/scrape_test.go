package alerts

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	strict "sigs.k8s.io/yaml"
)

// TestScrapeConfiguration: Prometheus takes what docs/monitoring.md has for those without the operator, reads the port of
// metrics and no other, and gives each series the label that alerts go by. How it finds Pods is compared with what it is told
// here: discovery in a cluster would bring all of client-go.
func TestScrapeConfiguration(t *testing.T) {
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```yaml\n(scrape_configs:\n.*?)^```$").FindSubmatch(page)
	if block == nil {
		t.Fatal("docs/monitoring.md has no scrape_configs")
	}
	var told struct {
		Jobs []map[string]any `json:"scrape_configs"`
	}
	if err := strict.UnmarshalStrict(block[1], &told); err != nil || len(told.Jobs) != 1 {
		t.Fatalf("%d jobs: %v", len(told.Jobs), err)
	}
	pods := []any{map[string]any{"role": "pod", "namespaces": map[string]any{"names": []any{"belfry-system"}}}}
	if got := told.Jobs[0]["kubernetes_sd_configs"]; !reflect.DeepEqual(got, any(pods)) {
		t.Errorf("Pods are found by %v, want %v", got, pods)
	}
	delete(told.Jobs[0], "kubernetes_sd_configs")
	rest, err := strict.Marshal(map[string]any{"scrape_configs": told.Jobs})
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(string(rest), promslog.NewNopLogger())
	if err != nil {
		t.Fatalf("%v\n%s", err, rest)
	}
	for port, kept := range map[string]bool{"metrics": true, "liveness": false} {
		series := labels.NewBuilder(labels.FromStrings(
			"__meta_kubernetes_namespace", "belfry-system", "__meta_kubernetes_pod_name", "belfry-speaker-x", "__meta_kubernetes_pod_node_name", "n1",
			"__meta_kubernetes_pod_container_port_name", port,
		))
		keep := relabel.ProcessBuilder(series, c.ScrapeConfigs[0].RelabelConfigs...)
		got := series.Labels()
		if keep != kept || kept && (got.Get("node") != "n1" || got.Get("pod") != "belfry-speaker-x" || got.Get("namespace") != "belfry-system") {
			t.Errorf("of the port %s is kept: %t, %s", port, keep, got)
		}
	}
}
