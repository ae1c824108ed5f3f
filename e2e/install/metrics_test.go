package install

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// program is one of ours as it runs on a node.
type program struct {
	name string
	node int
	addr string        // where its metrics are
	from *cluster.Host // who can get there
	says string        // a metric that it always has
}

// programs returns a speaker, which is on the LAN, and a controller, whose Pod is reached from its node.
func programs(ctx context.Context, t *testing.T) []program {
	t.Helper()
	pod := kubectl(ctx, t, "--namespace", harness.Namespace, "get", "pods", "--selector", "app.kubernetes.io/component=controller",
		"--output", "jsonpath={.items[0].spec.nodeName} {.items[0].status.podIP}")
	name, addr, _ := strings.Cut(strings.TrimSpace(pod), " ")
	n, err := lab.NodeByName(name)
	if err != nil || addr == "" {
		t.Fatalf("a controller's Pod is at %q: %v", pod, err)
	}
	return []program{
		{"speaker", 1, lab.Node(1).V4().String(), lab.Client(1), "belfry_speaker_ready 1"},
		{"controller", n, addr, lab.Node(n), "\nbelfry_pending_services "},
	}
}

// outside runs curl where the program's metrics can be reached from the network.
func (p program) outside(ctx context.Context, args ...string) (string, error) {
	out, err := p.from.Exec(ctx, append([]string{"curl", "--silent", "--show-error", "--max-time", "20"}, args...)...)
	return string(out), err
}

// inside runs curl in the network namespace of the program: the node's for a speaker, its Pod's for a controller.
func (p program) inside(ctx context.Context, args ...string) (string, error) {
	enter := `exec nsenter --target "$(pgrep -o -f '^/belfry ` + p.name + `')" --net curl --silent --show-error --max-time 20 "$@"`
	out, err := lab.ExecInside(ctx, p.node, append([]string{"sh", "-c", enter, "sh"}, args...)...)
	return string(out), err
}

// profile is what pprof serves first.
const profile = "http://127.0.0.1:6060/debug/pprof/cmdline"

// TestSecureMetricsAndProfiles: metrics are for those whom the API server lets read them, profiles for nobody but the node
// of a speaker and the Pod of a controller.
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

	for _, p := range programs(ctx, t) {
		for who, want := range map[string]string{"": "401", "nonsense": "401", "guest": "403", "prometheus": "200"} {
			token := tokens[who]
			if token == "" {
				token = who
			}
			if err := p.answers(ctx, token, want); err != nil {
				t.Errorf("%s, for %q: %v", p.name, who, err)
			}
		}
		if out, err := p.inside(ctx, profile); err != nil || !strings.Contains(out, "--pprof-address") {
			t.Errorf("%s, inside: %q, %v", p.name, out, err)
		}
		if out, err := p.outside(ctx, strings.Replace(profile, "127.0.0.1", p.addr, 1)); err == nil {
			t.Errorf("%s, from the network: %q", p.name, out)
		}
	}
}

// answers waits until the program answers with the status to who asks for its metrics with the token.
func (p program) answers(ctx context.Context, token, want string) error {
	at := "https://" + net.JoinHostPort(p.addr, "7980") + "/metrics"
	return harness.Eventually(ctx, "metrics with status "+want, func(ctx context.Context) error {
		out, err := p.outside(ctx, "-k", "-w", "\n%{http_code}", "-H", "Authorization: Bearer "+token, at)
		if err == nil && !strings.HasSuffix(out, "\n"+want) {
			err = fmt.Errorf("got %s, want status %s", lastLine(out), want)
		}
		if err == nil && (want == "200") != strings.Contains(out, p.says) {
			err = fmt.Errorf("with status %s it says %.200q", want, out)
		}
		return err
	})
}

// TestNoProfilesUnlessAskedFor: as installed, neither program listens for those who want profiles, nor gives them away where
// it does listen.
func TestNoProfilesUnlessAskedFor(t *testing.T) {
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	if err := harness.Install(ctx, lab); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs(ctx, t) {
		if out, err := p.inside(ctx, "--write-out", "%{exitcode}", profile); err == nil || out != refused {
			t.Errorf("%s: curl ended with %q, want %s; %v", p.name, out, refused, err)
		}
		for port, path := range map[string]string{"7980": "/metrics", "7981": "/healthz"} {
			for path, want := range map[string]string{path: "200", "/debug/pprof/cmdline": "404"} {
				out, err := p.inside(ctx, "--output", "/dev/null", "--write-out", "%{http_code}", "http://"+net.JoinHostPort("127.0.0.1", port)+path)
				if err != nil || out != want {
					t.Errorf("%s on port %s: status %q for %s, want %s; %v", p.name, port, out, path, want, err)
				}
			}
		}
	}
}

// refused is how curl ends where nobody listens.
const refused = "7"

func lastLine(s string) string { return s[strings.LastIndex(s, "\n")+1:] }
