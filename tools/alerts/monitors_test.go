package alerts

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

// TestMonitors reads the objects that are for the Prometheus operator into the operator's own types, which know every field
// that there is.
func TestMonitors(t *testing.T) {
	for name, tt := range map[string]struct {
		set  []string
		want []string
	}{
		"pods":            {[]string{"metrics.podMonitor.enabled=true"}, []string{"PodMonitor", "PodMonitor"}},
		"services":        {[]string{"metrics.serviceMonitor.enabled=true"}, []string{"ServiceMonitor", "ServiceMonitor"}},
		"services by TLS": {[]string{"metrics.serviceMonitor.enabled=true", "metrics.secure=true"}, []string{"ServiceMonitor", "ServiceMonitor"}},
		"rules":           {[]string{"metrics.prometheusRule.enabled=true"}, []string{"PrometheusRule"}},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds []string
			for _, text := range documents(t, chart(t, tt.set...)) {
				var is struct{ APIVersion, Kind string }
				if err := strict.Unmarshal(text, &is); err != nil {
					t.Fatal(err)
				}
				if is.APIVersion != monitoringv1.SchemeGroupVersion.String() {
					continue
				}
				into, known := map[string]any{
					"PodMonitor": &monitoringv1.PodMonitor{}, "ServiceMonitor": &monitoringv1.ServiceMonitor{}, "PrometheusRule": &monitoringv1.PrometheusRule{},
				}[is.Kind]
				if !known {
					t.Fatalf("a %s", is.Kind)
				}
				if err := strict.UnmarshalStrict(text, into); err != nil {
					t.Errorf("%s: %v\n%s", is.Kind, err, text)
				}
				kinds = append(kinds, is.Kind)
			}
			if slices.Sort(kinds); !slices.Equal(kinds, tt.want) {
				t.Errorf("%v, want %v", kinds, tt.want)
			}
		})
	}
}

// chart returns what helm makes of the chart.
func chart(t *testing.T, set ...string) []byte {
	t.Helper()
	args := []string{"tool", "-modfile=tools/go.mod", "helm", "template", "belfry", "charts/belfry", "--namespace", "belfry-system", "--kube-version", "1.31.0"}
	for _, s := range set {
		args = append(args, "--set", s)
	}
	helm := exec.CommandContext(context.Background(), "go", args...)
	helm.Dir = "../.."
	var complaints bytes.Buffer
	helm.Stderr = &complaints
	out, err := helm.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaints.Bytes())
	}
	return out
}

func documents(t *testing.T, text []byte) (out [][]byte) {
	t.Helper()
	for d := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text))); ; {
		b := make([]byte, len(text))
		n, err := d.Read(b)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b[:n])
	}
}
