package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// gateways is what makes a Gateway in the class of Traefik, with a pool of its own, and a route by host to the first backend.
// Traefik wants listeners to have the ports of its entry points.
func gateways() string {
	return fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: gateways}
spec: {addresses: ["%[1]s/32"], autoAssign: false}
---
apiVersion: belfry.dev/v1beta1
kind: L2Advertisement
metadata: {name: gateways}
spec: {ipAddressPools: [gateways]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: shared}
spec:
  gatewayClassName: traefik
  infrastructure:
    annotations: {belfry.dev/pool: gateways}
  listeners: [{name: web, protocol: HTTP, port: 8000}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: first}
spec:
  parentRefs: [{name: shared}]
  hostnames: [gateway.example]
  rules: [{backendRefs: [{name: first, port: 80}]}]
`, lab.Addr4(251))
}

// gatewayCRDs returns the manifests of the Gateway API that Traefik is built against.
func gatewayCRDs(ctx context.Context) (string, error) {
	root, err := render.Root()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "sigs.k8s.io/gateway-api")
	cmd.Dir = filepath.Join(root, "e2e", "ingress", "traefik")
	out, err := cmd.Output()
	var module struct{ Dir, Error string }
	if err := errors.Join(err, json.Unmarshal(out, &module)); err != nil || module.Error != "" {
		return "", fmt.Errorf("finding the Gateway API: %w: %s", err, module.Error)
	}
	return filepath.Join(module.Dir, "config", "crd", "standard"), nil
}

// installGatewayAPI makes its kinds known before a controller asks for them.
func installGatewayAPI(ctx context.Context) error {
	dir, err := gatewayCRDs(ctx)
	if err != nil {
		return err
	}
	if _, err := harness.Kubectl(ctx, lab, nil, "apply", "--server-side", "-f", dir); err != nil {
		return err
	}
	_, err = harness.Kubectl(ctx, lab, nil, "wait", "--for=condition=Established", "--timeout=2m", "-f", dir)
	return err
}

// TestGateway: what stands in spec.infrastructure.annotations of a Gateway reaches Belfry on the Service that the Gateway's
// controller makes for it. Traefik serves all Gateways behind one Service of its own, so the test makes that Service, as the
// Gateway API asks of those controllers that make one. The rest is real: the Gateway, its route, and Traefik that answers.
func TestGateway(t *testing.T) {
	s := newScene(t)
	manifest := gateways()
	if err := harness.Apply(s.ctx, lab, manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := harness.Kubectl(context.Background(), lab, strings.NewReader(manifest), "delete", "--ignore-not-found", "-f", "-"); err != nil {
			t.Error(err)
		}
	})
	s.eventually("the address of Traefik's own Service in the Gateway", func(ctx context.Context) error {
		g, err := gateway(ctx)
		if err != nil {
			return err
		}
		shown, _, err := unstructured.NestedSlice(g.Object, "status", "addresses")
		if err == nil && fmt.Sprint(shown) != fmt.Sprintf("[map[type:IPAddress value:%s]]", s.address) {
			err = fmt.Errorf("it has %v, want %s", shown, s.address)
		}
		return err
	})
	o, err := serviceOf(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := k8s.Create(s.ctx, o); err != nil {
		t.Fatal(err)
	}
	addrs, err := harness.AwaitAddresses(s.ctx, k8s, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := lab.Addr4(251); addrs[0] != want {
		t.Errorf("the Gateway's Service has %s, want %s of its pool", addrs[0], want)
	}
	s.routed(addrs[0])
	inTheDocs(s.ctx, t)
}

// inTheDocs has the API server read the Gateway that the documentation shows.
func inTheDocs(ctx context.Context, t *testing.T) {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "addresses.md"))
	if err != nil {
		t.Fatal(err)
	}
	shown := slices.DeleteFunc(render.Blocks(string(page), "yaml"), func(block string) bool {
		return !strings.HasPrefix(block, "apiVersion: gateway.networking.k8s.io/")
	})
	if len(shown) != 1 {
		t.Fatalf("docs/addresses.md shows %d Gateways", len(shown))
	}
	if _, err := harness.Kubectl(ctx, lab, strings.NewReader(shown[0]), "apply", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil {
		t.Error(err)
	}
}

func gateway(ctx context.Context) (*unstructured.Unstructured, error) {
	g := &unstructured.Unstructured{}
	g.SetGroupVersionKind(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"})
	return g, k8s.Get(ctx, client.ObjectKey{Namespace: "default", Name: "shared"}, g)
}

// serviceOf is the Service that a controller makes for the Gateway: it carries the annotations of its infrastructure, has the
// ports of its listeners, and is owned by it.
func serviceOf(ctx context.Context) (*corev1.Service, error) {
	g, err := gateway(ctx)
	if err != nil {
		return nil, err
	}
	annotations, found, err := unstructured.NestedStringMap(g.Object, "spec", "infrastructure", "annotations")
	if err != nil || !found {
		return nil, fmt.Errorf("annotations of the infrastructure: %t, %w", found, err)
	}
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: g.GetNamespace(), Name: g.GetName() + "-traefik", Annotations: annotations,
			Labels:          map[string]string{"gateway.networking.k8s.io/gateway-name": g.GetName()},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: g.GetAPIVersion(), Kind: g.GetKind(), Name: g.GetName(), UID: g.GetUID()}},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": "traefik"},
			Ports: []corev1.ServicePort{{Name: "web", Port: 80, TargetPort: intstr.FromString("web")}},
		},
	}, nil
}

// routed waits until the page of the route comes from an address.
func (s *scene) routed(a netip.Addr) {
	s.Helper()
	at := &scene{s.T, s.ctx, a}
	s.eventually("the page behind the Gateway", func(context.Context) error {
		page, err := at.get("gateway.example", "/")
		if err == nil && !strings.HasPrefix(harness.Field(page, "pod"), "first-") {
			err = fmt.Errorf("answered %q", page)
		}
		return err
	})
}
