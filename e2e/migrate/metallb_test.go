package migrate

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

const (
	namespace = "migre2e-apps"
	password  = "Pl4nted"
	asn       = 64512
	routerASN = 64601
)

// services are there before Belfry is, each with the address that MetalLB's controller gave to it.
func services() map[string]netip.Addr {
	return map[string]netip.Addr{
		"lan-1": lab.Addr4(200), "lan-2": lab.Addr4(201), "lan-local": lab.Addr4(202),
		"routed-1": netip.MustParseAddr("203.0.113.1"), "routed-2": netip.MustParseAddr("203.0.113.2"),
	}
}

func routed(name string) bool { return strings.HasPrefix(name, "routed") }

// metalLB is a cluster as MetalLB leaves it: kinds, objects, workloads, Services with addresses.
type metalLB struct {
	bgpNodes []string // which speak to the router
}

func (m metalLB) manifests(t *testing.T) []string {
	t.Helper()
	crds, err := os.ReadFile(filepath.Join(root(t), "internal", "cli", "integration", "testdata", "migrate", "crds.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return []string{string(crds), m.objects(), m.programs(), apps()}
}

// objects are MetalLB's, in its own words.
func (m metalLB) objects() string {
	return fmt.Sprintf(`apiVersion: v1
kind: Namespace
metadata: {name: metallb-system, labels: {pod-security.kubernetes.io/enforce: privileged}}
---
apiVersion: v1
kind: Secret
metadata: {name: tor, namespace: metallb-system}
type: kubernetes.io/basic-auth
stringData: {username: "", password: %[1]s}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [%[2]s-%[3]s]}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: routed, namespace: metallb-system}
spec: {addresses: [203.0.113.1/28], autoAssign: false}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
spec: {ipAddressPools: [lan]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: routed, namespace: metallb-system}
spec: {ipAddressPools: [routed]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: tor, namespace: metallb-system}
spec:
  myASN: %[4]d
  peerASN: %[5]d
  peerAddress: %[6]s
  nodeSelectors: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [%[7]s]}]}]
  passwordSecret: {name: tor, namespace: metallb-system}
`, password, lab.Addr4(200), lab.Addr4(209), asn, routerASN, lab.Router(1).V4(), strings.Join(m.bgpNodes, ", "))
}

// programs have the labels, the update strategy and the readiness of MetalLB's own manifests.
func (m metalLB) programs() string {
	var lan, routes, nodes []string
	for name, a := range services() {
		switch {
		case routed(name):
			routes = append(routes, a.String())
		case name == "lan-local":
			lan = append(lan, a.String()+"=n2")
		default:
			lan = append(lan, a.String())
		}
	}
	for _, n := range lab.Nodes() {
		nodes = append(nodes, n.V4().String())
	}
	slices.Sort(lan)
	slices.Sort(routes)
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: controller, namespace: metallb-system, labels: {app: metallb, component: controller}}
spec:
  selector: {matchLabels: {app: metallb, component: controller}}
  template:
    metadata: {labels: {app: metallb, component: controller}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: controller, image: %[1]q, imagePullPolicy: Never}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: speaker, namespace: metallb-system, labels: {app: metallb, component: speaker}}
spec:
  selector: {matchLabels: {app: metallb, component: speaker}}
  template:
    metadata: {labels: {app: metallb, component: speaker}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 2
      nodeSelector: {kubernetes.io/os: linux}
      tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}]
      containers:
        - name: speaker
          image: %[2]s
          imagePullPolicy: Never
          env:
            - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: NODE_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
            - {name: MEMBERS, value: %[3]q}
            - {name: ADDRESSES, value: %[4]q}
            - {name: ROUTES, value: %[5]q}
            - {name: ROUTERS, value: %[6]q}
            - {name: BGP_NODES, value: %[7]q}
            - {name: ASN, value: "%[8]d"}
            - {name: PEER_ASN, value: "%[9]d"}
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: tor, key: password}}}
          readinessProbe: {httpGet: {path: /metrics, port: 7472}, initialDelaySeconds: 10, periodSeconds: 1}
          securityContext: {capabilities: {add: [NET_RAW, NET_ADMIN, NET_BIND_SERVICE]}}
`, cluster.PauseImage, oldImage, strings.Join(nodes, ","), strings.Join(lan, ","), strings.Join(routes, ","),
		lab.Router(1).V4(), strings.Join(m.bgpNodes, ","), asn, routerASN)
}

// apps are what the Services lead to. One has all its Pods on n2, and Kubernetes' own rule to go nowhere else.
func apps() string {
	web := []string{
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: " + namespace + "}\n",
		harness.Web("web", 3), harness.Web("local", 1, "nodeSelector: {kubernetes.io/hostname: n2}"),
	}
	for name := range services() {
		app, extra := "web", ""
		if name == "lan-local" {
			app, extra = "local", "externalTrafficPolicy: Local"
		}
		web = append(web, harness.Service(name, app, extra, 80))
	}
	// A busy machine's slow answers to probes are none of the change-over's.
	all := strings.ReplaceAll(strings.Join(web, "---\n"), "            periodSeconds: 1\n", "            periodSeconds: 1\n            timeoutSeconds: 20\n            failureThreshold: 20\n")
	return strings.ReplaceAll(all, "\nmetadata:\n  name: ", "\nmetadata:\n  namespace: "+namespace+"\n  name: ")
}

// install puts it into the cluster, and takes it away when the test is over.
func (m metalLB) install(ctx context.Context, t *testing.T) {
	t.Helper()
	all := m.manifests(t)
	t.Cleanup(func() {
		for _, manifest := range slices.Backward(all) {
			if _, err := harness.Kubectl(context.WithoutCancel(ctx), lab, strings.NewReader(manifest), "delete", "--ignore-not-found", "-f", "-"); err != nil {
				t.Error(err)
			}
		}
	})
	must(t, harness.Apply(ctx, lab, all[0]))
	_, err := harness.Kubectl(ctx, lab, strings.NewReader(all[0]), "wait", "--for=condition=Established", "--timeout=1m", "-f", "-")
	must(t, err)
	for _, manifest := range all[1:] {
		must(t, harness.Apply(ctx, lab, manifest))
	}
	for name, a := range services() {
		m.assign(ctx, t, name, a)
	}
	for _, name := range []string{"web", "local"} {
		must(t, harness.AwaitDeployment(ctx, lab, namespace, name))
	}
	kubectl(ctx, t, "rollout", "status", "--namespace", "metallb-system", "daemonset/speaker", "--timeout=2m")
}

// assign does what MetalLB's controller does.
func (metalLB) assign(ctx context.Context, t *testing.T, name string, a netip.Addr) {
	t.Helper()
	must(t, harness.Eventually(ctx, "the status of "+name, func(ctx context.Context) error {
		var s corev1.Service
		if err := k8s.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &s); err != nil {
			return err
		}
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: a.String()}}
		return k8s.Status().Update(ctx, &s)
	}))
}

func kubectl(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	out, err := harness.Kubectl(ctx, lab, nil, args...)
	must(t, err)
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
