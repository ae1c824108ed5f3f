package install

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestSecureMetricsAndProfiles: metrics are for those whom the API server lets read them, profiles for nobody but the node.
func TestSecureMetricsAndProfiles(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	if err := harness.Install(ctx, lab, "metrics.secure=true", "ports.pprof=6060"); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, who := range []string{"prometheus", "guest"} {
		kubectl(ctx, t, "--namespace", harness.Namespace, "create", "serviceaccount", who)
		tokens[who] = strings.TrimSpace(kubectl(ctx, t, "--namespace", harness.Namespace, "create", "token", who))
	}
	kubectl(ctx, t, "create", "clusterrolebinding", "belfry-prometheus", "--clusterrole=belfry-metrics-reader", "--serviceaccount="+harness.Namespace+":prometheus")

	at := "https://" + net.JoinHostPort(lab.Node(1).V4().String(), "7980") + "/metrics"
	for who, want := range map[string]string{"": "401", "nonsense": "401", "guest": "403", "prometheus": "200"} {
		token := tokens[who]
		if token == "" {
			token = who
		}
		err := harness.Eventually(ctx, "metrics for "+who, func(ctx context.Context) error {
			out, err := curl(ctx, "-k", "-w", "\n%{http_code}", "-H", "Authorization: Bearer "+token, at)
			if err == nil && !strings.HasSuffix(out, "\n"+want) {
				err = fmt.Errorf("got %s, want status %s", lastLine(out), want)
			}
			if err == nil && (want == "200") != strings.Contains(out, "belfry_speaker_ready 1") {
				err = fmt.Errorf("with status %s it says %.200q", want, out)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}

	const profile = "http://127.0.0.1:6060/debug/pprof/cmdline"
	if out, err := lab.Node(1).Exec(ctx, "curl", "--silent", "--show-error", profile); err != nil || !strings.Contains(string(out), "--pprof-address") {
		t.Errorf("on the node: %q, %v", out, err)
	}
	if out, err := curl(ctx, strings.Replace(profile, "127.0.0.1", lab.Node(1).V4().String(), 1)); err == nil {
		t.Errorf("from the network: %q", out)
	}
}

// curl runs curl on the client of the LAN.
func curl(ctx context.Context, args ...string) (string, error) {
	out, err := lab.Client(1).Exec(ctx, append([]string{"curl", "--silent", "--show-error", "--max-time", "20"}, args...)...)
	return string(out), err
}

func lastLine(s string) string { return s[strings.LastIndex(s, "\n")+1:] }
