package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// all is the advertisement of every pool.
const all = "apiVersion: belfry.dev/v1beta1\nkind: L2Advertisement\nmetadata: {name: every-pool}\n"

func span(from, to int) string { return lab.Addr4(from).String() + "-" + lab.Addr4(to).String() }

// from waits until the Service says that its address is of this pool.
func (s *scene) from(service, pool string) {
	s.Helper()
	s.Eventually(service+" from pool "+pool, func() error {
		var o corev1.Service
		if err := k8s.Get(s.Ctx, harness.InDefault(service), &o); err != nil {
			return err
		}
		if got := o.Annotations[v1beta1.AnnotationAllocatedFrom]; got != pool {
			return fmt.Errorf("from %q", got)
		}
		return nil
	})
}

// keeps checks that the Services have their addresses, and that these answer.
func (s *scene) keeps(addrs map[string]netip.Addr) {
	s.Helper()
	for name, a := range addrs {
		if got := s.Addresses(name, 1)[0]; got != a {
			s.Errorf("%s had %s, has %s", name, a, got)
		}
		s.answer(a, 80)
	}
}

// delete takes objects away and waits until they are gone.
func (s *scene) delete(args ...string) {
	s.Helper()
	s.Kubectl(append([]string{"delete", "--wait=true"}, args...)...)
}

func TestPoolsAreRenamedSplitMergedAndDeleted(t *testing.T) {
	s := newScene(t)
	s.Apply(all)
	s.Apply(pool("old", span(241, 244)))
	had := map[string]netip.Addr{}
	for i, name := range []string{"pools-a", "pools-b"} {
		had[name] = s.service(1, name, "web", fmt.Sprintf("loadBalancerIP: %s", lab.Addr4(241+2*i)), 80)[0]
	}
	s.keeps(had)

	s.delete("ippool", "old") // renamed: the old one goes first
	s.Apply(pool("new", span(241, 244)))
	s.from("pools-a", "new")
	s.keeps(had)

	s.delete("ippool", "new") // split
	s.Apply(pool("left", span(241, 242)) + "---\n" + pool("right", span(243, 244)))
	s.from("pools-a", "left")
	s.from("pools-b", "right")
	s.keeps(had)

	s.delete("ippool", "left", "right") // merged
	s.Apply(pool("merged", span(241, 244)))
	s.from("pools-b", "merged")
	s.keeps(had)

	s.delete("ippool", "merged") // deleted
	s.keeps(had)
	s.Kubectl("--namespace", harness.Namespace, "rollout", "restart", "deployment/belfry-controller")
	s.Kubectl("--namespace", harness.Namespace, "rollout", "status", "deployment/belfry-controller", "--timeout=2m")
	s.keeps(had)
}

func TestUninstalledAndInstalledAgain(t *testing.T) {
	s := newScene(t)
	had := map[string]netip.Addr{}
	for _, name := range []string{"stays-a", "stays-b"} {
		had[name] = s.service(1, name, "web", "", 80)[0]
	}
	s.keeps(had)
	s.Must(harness.Helm(s.Ctx, lab, "uninstall", harness.Release, "--namespace", harness.Namespace, "--wait"))
	t.Cleanup(func() { // whatever happens, the other tests need it
		if err := harness.Install(context.Background(), lab); err != nil {
			t.Error(err)
		}
	})
	s.delete("service", "stays-a") // its address is free, but nobody may have it while nobody is there
	s.Must(harness.Install(s.Ctx, lab))
	delete(had, "stays-a")
	s.keeps(had)
	next := s.service(1, "comes-after", "web", "", 80)[0]
	if next == had["stays-b"] {
		t.Errorf("%s was given to two", next)
	}
	s.answer(next, 80)
}

func TestTwoServicesOnOneAddress(t *testing.T) {
	s := newScene(t)
	shared := func(name string, port, target int) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {belfry.dev/sharing-key: site}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: %d, targetPort: %d}]}
`, name, port, target)
	}
	s.Apply(shared("site-plain", 80, 8080))
	a := s.Addresses("site-plain", 1)[0]
	s.Apply(shared("site-other", 8081, 8081))
	if got := s.Addresses("site-other", 1)[0]; got != a {
		t.Fatalf("site-other has %s, want %s", got, a)
	}
	s.answer(a, 80)
	if got := harness.Field(s.answer(a, 8081), "port"); got != "8081" {
		t.Errorf("port 8081 leads to %s", got)
	}
	s.ownerAnswers(a)
	s.delete("service", "site-plain")
	s.Eventually("port 80 to close", func() error { return mustFail(s.get(lab.Client(1), a, 80)) })
	s.answer(a, 8081)
}

// TestLocalSharersWithDifferentPods: the address is where both have a pod.
func TestLocalSharersWithDifferentPods(t *testing.T) {
	s := newScene(t)
	for _, app := range []string{"left-app", "right-app"} {
		s.Apply(harness.Web(app, 2))
		s.Must(harness.AwaitDeployment(s.Ctx, lab, "default", app))
	}
	local := func(name, app string, port int) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {metallb.io/allow-shared-ip: both}}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: %s}, ports: [{port: %d, targetPort: 8080}]}
`, name, app, port)
	}
	s.Apply(local("left-svc", "left-app", 80))
	a := s.Addresses("left-svc", 1)[0]
	s.Apply(local("right-svc", "right-app", 90))
	if got := s.Addresses("right-svc", 1)[0]; got != a {
		t.Fatalf("right-svc has %s, want %s", got, a)
	}
	for _, port := range []int{80, 90} { // of two pods each on three nodes, some node has both
		s.Eventually(fmt.Sprintf("port %d from the node that announces", port), func() error {
			answer, err := s.get(lab.Client(1), a, port)
			if owner := fmt.Sprintf("n%d", s.Owner(a)); err == nil && harness.Field(answer, "node") != owner {
				err = fmt.Errorf("answered on %s, announced by %s", harness.Field(answer, "node"), owner)
			}
			return err
		})
	}
}

func TestReservationOutlivesItsService(t *testing.T) {
	s := newScene(t)
	s.Apply("apiVersion: belfry.dev/v1beta1\nkind: IPReservation\nmetadata: {name: shop, namespace: default}\nspec: {serviceName: shop}\n")
	a := s.service(1, "shop", "web", "", 80)[0]
	s.answer(a, 80)
	var r v1beta1.IPReservation
	s.Eventually("the reservation to name its holder", func() error {
		if err := k8s.Get(s.Ctx, client.ObjectKey{Namespace: "default", Name: "shop"}, &r); err != nil {
			return err
		}
		if r.Status.Holder != "shop" || len(r.Status.Addresses) != 1 || r.Status.Addresses[0] != a.String() {
			return fmt.Errorf("%+v", r.Status)
		}
		return nil
	})
	s.delete("service", "shop")
	s.silent(a)
	if got := s.service(1, "passer-by", "web", "", 80)[0]; got == a {
		t.Errorf("%s was given to another", a)
	}
	if got := s.service(1, "shop", "web", "", 80)[0]; got != a {
		t.Errorf("the Service that was made anew has %s, had %s", got, a)
	}
	s.answer(a, 80)
	if out := s.Kubectl("get", "ipres", "shop"); !containsAll(out, a.String(), "shop", "True") {
		t.Errorf("kubectl get ipres:\n%s", out)
	}
}
