package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// queue is that of the kernel to which nodes give the first packet of every connection from or to a Pod.
const queue = "100"

// enforce has NetworkPolicies enforced on all nodes until the test is over, by the SIG's own implementation.
func enforce(t *testing.T) {
	t.Helper()
	program, err := cluster.BuildPinned(t.Context(), "e2e/install/enforcer", "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t) // from here on: the first build on a machine takes as long as it takes
	kubeconfig := onNodes(ctx, t)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	t.Cleanup(stop)
	for _, node := range lab.Nodes() {
		judge(running, t, stop, node, program, kubeconfig)
	}
	for _, node := range lab.Nodes() {
		divert(ctx, t, node)
	}
}

// onNodes returns an administrator's kubeconfig that has the API server's address on the LAN, where nodes are.
func onNodes(ctx context.Context, t *testing.T) string {
	t.Helper()
	at := kubectl(ctx, t, "get", "endpointslices", "--selector", "kubernetes.io/service-name=kubernetes",
		"--output", "jsonpath={.items[0].endpoints[0].addresses[0]}:{.items[0].ports[0].port}")
	config, err := clientcmd.LoadFromFile(lab.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range config.Clusters {
		c.Server = "https://" + strings.TrimSpace(at)
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// judge runs the program on a node until it is told to stop, and returns when it judges what is in the queue. Without a judge
// packets are dropped.
func judge(running context.Context, t *testing.T, stop func(), node *cluster.Host, program, kubeconfig string) {
	t.Helper()
	cmd := node.Command(running, program, "-kubeconfig", kubeconfig, "-hostname-override", node.Name(), "-fail-open=false",
		"-disable-nri", "-strict-mode=false", "-netfilter-bug-1766-fix=false", "-nfqueue-id", queue, "-metrics-bind-address", "127.0.0.1:9080")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop() // all of them, for each takes five seconds to end
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("the enforcer on %s said:\n%s", node.Name(), log.Bytes())
		}
	})
	eventually(within(t), t, "queue "+queue+" on "+node.Name(), func(ctx context.Context) error {
		out, err := node.Exec(ctx, "sh", "-c", `awk '$1 == `+queue+` { n++ } END { print n+0 }' /proc/net/netfilter/nfnetlink_queue`)
		if err == nil && strings.TrimSpace(string(out)) != "1" {
			err = fmt.Errorf("%s queues", out)
		}
		return err
	})
}

// divert gives the judge what comes from other hosts and Pods; the kubelet's probes may pass. The program has rules of its own
// for that, which need a kernel with the queue statement of nftables; where it has that, packets are judged twice.
func divert(ctx context.Context, t *testing.T, node *cluster.Host) {
	t.Helper()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, rule := range []string{
			"POSTROUTING -m owner --uid-owner 0 -j RETURN",
			"POSTROUTING -m conntrack --ctstate NEW -j NFQUEUE --queue-num " + queue,
		} {
			change := func(ctx context.Context, flag string) {
				args := append([]string{tool, "-w", "-t", "mangle", flag}, strings.Fields(rule)...)
				if _, err := node.Exec(ctx, args...); err != nil {
					t.Error(err)
				}
			}
			change(ctx, "-A")
			t.Cleanup(func() { change(context.Background(), "-D") })
		}
	}
}

// denyAll leaves Pods of the release's namespace only what other policies allow.
const denyAll = `apiVersion: v1
kind: Namespace
metadata:
  name: ` + harness.Namespace + `
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny-all
  namespace: ` + harness.Namespace + `
spec:
  podSelector: {}
  policyTypes: [Ingress, Egress]
`

// TestNetworkPolicy: where policies are enforced and a namespace denies everything, the chart's policy lets the product work,
// and nobody else's Pod reads metrics.
func TestNetworkPolicy(t *testing.T) {
	enforce(t)
	ctx := within(t)
	t.Cleanup(func() { clean(t) })
	apply(ctx, t, denyAll)
	for _, name := range []string{"prometheus", "guest"} {
		apply(ctx, t, harness.Web(name, 1))
		t.Cleanup(func() { kubectl(context.Background(), t, "delete", "deployment", name) })
	}
	if err := harness.Install(ctx, lab, "networkPolicy.enabled=true", "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus",
		`networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\.io/metadata\.name=default`); err != nil {
		t.Fatal(err)
	}
	serves(ctx, t)

	all := programs(ctx, t)
	speaker, controller := all[0], all[1]
	eventually(ctx, t, "metrics of the speaker", func(ctx context.Context) error {
		out, err := speaker.outside(ctx, "http://"+speaker.addr+":7980/metrics")
		return contains(out, speaker.says, err)
	})
	prometheus, guest := podOf(ctx, t, "prometheus"), podOf(ctx, t, "guest")
	health, metrics := "http://"+controller.addr+":7981/readyz", "http://"+controller.addr+":7980/metrics"
	for _, who := range []pod{prometheus, guest} {
		eventually(ctx, t, "health from "+who.name, func(ctx context.Context) error { return who.reads(ctx, health, "ok") })
	}
	eventually(ctx, t, "metrics from prometheus", func(ctx context.Context) error { return prometheus.reads(ctx, metrics, controller.says) })
	if out, err := guest.curl(ctx, metrics); !timedOut(err) {
		t.Errorf("a guest reads metrics: %.200s, %v", out, err)
	}
	// It may call the API server, and nobody else.
	eventually(ctx, t, "the API server, from the controller's Pod", func(ctx context.Context) error {
		_, err := controller.inside(ctx, "--insecure", "https://10.96.0.1/version")
		return err
	})
	if out, err := controller.inside(ctx, "--connect-timeout", "3", "http://"+guest.addr+":8080/"); !timedOut(err) {
		t.Errorf("the controller's Pod calls a guest: %s, %v", out, err)
	}
}

// serves exposes a Deployment: it gets an address, which answers.
func serves(ctx context.Context, t *testing.T) {
	t.Helper()
	apply(ctx, t, harness.PoolManifest(lab, "policy", 240, 249)+"---\n"+harness.Service("policy", "guest", "", 80))
	t.Cleanup(func() { kubectl(context.Background(), t, "delete", "service", "policy") })
	addrs, err := harness.AwaitAddresses(ctx, k8s, types.NamespacedName{Namespace: "default", Name: "policy"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, "an answer of the Service", func(ctx context.Context) error {
		_, err := harness.Get(ctx, lab.Client(1), netip.AddrPortFrom(addrs[0], 80))
		return err
	})
}

// pod is one of the web server's.
type pod struct {
	name, addr string
	node       int
}

func podOf(ctx context.Context, t *testing.T, app string) pod {
	t.Helper()
	if err := harness.AwaitDeployment(ctx, lab, "default", app); err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(kubectl(ctx, t, "get", "pods", "--selector", "app="+app, "--output",
		"jsonpath={.items[0].metadata.name} {.items[0].status.podIP} {.items[0].spec.nodeName}"))
	if len(fields) != 3 {
		t.Fatalf("the Pod of %s: %q", app, fields)
	}
	n, err := lab.NodeByName(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	return pod{fields[0], fields[1], n}
}

// curl runs in the Pod's network namespace.
func (p pod) curl(ctx context.Context, url string) (string, error) {
	const enter = `for pid in $(pgrep -x web); do
	if tr '\0' '\n' </proc/$pid/environ | grep -qx "POD_NAME=$1"; then
		exec nsenter --target "$pid" --net curl --silent --show-error --connect-timeout 3 --max-time 20 "$2"
	fi
done
echo "no process of $1" >&2; exit 1`
	out, err := lab.ExecInside(ctx, p.node, "sh", "-c", enter, "sh", p.name, url)
	return string(out), err
}

func (p pod) reads(ctx context.Context, url, want string) error {
	out, err := p.curl(ctx, url)
	return contains(out, want, err)
}

func contains(out, want string, err error) error {
	if err == nil && !strings.Contains(out, want) {
		err = fmt.Errorf("no %q in %.200s", want, out)
	}
	return err
}

// timedOut tells whether curl says that nobody answered its packets.
func timedOut(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 28
}

func apply(ctx context.Context, t *testing.T, manifest string) {
	t.Helper()
	if err := harness.Apply(ctx, lab, manifest); err != nil {
		t.Fatal(err)
	}
}

func eventually(ctx context.Context, t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	if err := harness.Eventually(ctx, what, f); err != nil {
		t.Fatal(err)
	}
}
