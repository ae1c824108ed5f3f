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
	s.eventually(service+" from pool "+pool, func() error {
		var o corev1.Service
		if err := k8s.Get(s.ctx, inDefault(service), &o); err != nil {
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
		if got := s.addresses(name, 1)[0]; got != a {
			s.Errorf("%s had %s, has %s", name, a, got)
		}
		s.answer(a, 80)
	}
}

// delete takes objects away and waits until they are gone.
func (s *scene) delete(args ...string) {
	s.Helper()
	s.kubectl(append([]string{"delete", "--wait=true"}, args...)...)
}

func TestPoolsAreRenamedSplitMergedAndDeleted(t *testing.T) {
	s := newScene(t)
	s.apply(all)
	s.apply(pool("old", span(241, 244)))
	had := map[string]netip.Addr{}
	for i, name := range []string{"pools-a", "pools-b"} {
		had[name] = s.service(1, name, "web", fmt.Sprintf("loadBalancerIP: %s", lab.Addr4(241+2*i)), 80)[0]
	}
	s.keeps(had)

	s.delete("ippool", "old") // renamed: the old one goes first
	s.apply(pool("new", span(241, 244)))
	s.from("pools-a", "new")
	s.keeps(had)

	s.delete("ippool", "new") // split
	s.apply(pool("left", span(241, 242)) + "---\n" + pool("right", span(243, 244)))
	s.from("pools-a", "left")
	s.from("pools-b", "right")
	s.keeps(had)

	s.delete("ippool", "left", "right") // merged
	s.apply(pool("merged", span(241, 244)))
	s.from("pools-b", "merged")
	s.keeps(had)

	s.delete("ippool", "merged") // deleted
	s.keeps(had)
	s.kubectl("--namespace", harness.Namespace, "rollout", "restart", "deployment/belfry-controller")
	s.kubectl("--namespace", harness.Namespace, "rollout", "status", "deployment/belfry-controller", "--timeout=2m")
	s.keeps(had)
}

func TestUninstalledAndInstalledAgain(t *testing.T) {
	s := newScene(t)
	had := map[string]netip.Addr{}
	for _, name := range []string{"stays-a", "stays-b"} {
		had[name] = s.service(1, name, "web", "", 80)[0]
	}
	s.keeps(had)
	s.must(harness.Helm(s.ctx, lab, "uninstall", harness.Release, "--namespace", harness.Namespace, "--wait"))
	t.Cleanup(func() { // whatever happens, the other tests need it
		if err := harness.Install(context.Background(), lab); err != nil {
			t.Error(err)
		}
	})
	s.delete("service", "stays-a") // its address is free, but nobody may have it while nobody is there
	s.must(harness.Install(s.ctx, lab))
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
	s.apply(shared("site-plain", 80, 8080))
	a := s.addresses("site-plain", 1)[0]
	s.apply(shared("site-other", 8081, 8081))
	if got := s.addresses("site-other", 1)[0]; got != a {
		t.Fatalf("site-other has %s, want %s", got, a)
	}
	s.answer(a, 80)
	if got := harness.Field(s.answer(a, 8081), "port"); got != "8081" {
		t.Errorf("port 8081 leads to %s", got)
	}
	s.oneAnswers(a, s.owner(a))
	s.delete("service", "site-plain")
	s.eventually("port 80 to close", func() error { return mustFail(s.get(lab.Client(1), a, 80)) })
	s.answer(a, 8081)
}

// TestLocalSharersWithDifferentPods: the address is where both have a pod.
func TestLocalSharersWithDifferentPods(t *testing.T) {
	s := newScene(t)
	for _, app := range []string{"left-app", "right-app"} {
		s.apply(harness.Web(app, 2))
		s.must(harness.AwaitDeployment(s.ctx, lab, "default", app))
	}
	local := func(name, app string, port int) string {
		return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %s, annotations: {metallb.io/allow-shared-ip: both}}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: %s}, ports: [{port: %d, targetPort: 8080}]}
`, name, app, port)
	}
	s.apply(local("left-svc", "left-app", 80))
	a := s.addresses("left-svc", 1)[0]
	s.apply(local("right-svc", "right-app", 90))
	if got := s.addresses("right-svc", 1)[0]; got != a {
		t.Fatalf("right-svc has %s, want %s", got, a)
	}
	for _, port := range []int{80, 90} { // of two pods each on three nodes, some node has both
		s.eventually(fmt.Sprintf("port %d from the node that announces", port), func() error {
			answer, err := s.get(lab.Client(1), a, port)
			if owner := fmt.Sprintf("n%d", s.owner(a)); err == nil && harness.Field(answer, "node") != owner {
				err = fmt.Errorf("answered on %s, announced by %s", harness.Field(answer, "node"), owner)
			}
			return err
		})
	}
}

func TestReservationOutlivesItsService(t *testing.T) {
	s := newScene(t)
	s.apply("apiVersion: belfry.dev/v1beta1\nkind: IPReservation\nmetadata: {name: shop, namespace: default}\nspec: {serviceName: shop}\n")
	a := s.service(1, "shop", "web", "", 80)[0]
	s.answer(a, 80)
	var r v1beta1.IPReservation
	s.eventually("the reservation to name its holder", func() error {
		if err := k8s.Get(s.ctx, client.ObjectKey{Namespace: "default", Name: "shop"}, &r); err != nil {
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
	if out := s.kubectl("get", "ipres", "shop"); !containsAll(out, a.String(), "shop", "True") {
		t.Errorf("kubectl get ipres:\n%s", out)
	}
}
