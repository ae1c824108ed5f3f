package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

func TestDeletedServiceIsSilentAndItsAddressFree(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "first", "web", "", 80)[0]
	s.answer(a, 80)
	s.Kubectl("delete", "service", "first")
	s.silent(a)
	if got := s.service(1, "second", "web", "", 80)[0]; got != a {
		t.Errorf("the next Service has %s, want the lowest free address, %s", got, a)
	}
	s.answer(a, 80)
}

func TestTypeChangedToClusterIP(t *testing.T) {
	s := newScene(t)
	addrs := s.service(2, "changes", "web", dualStack, 80)
	for _, a := range addrs {
		s.answer(a, 80)
	}
	s.Kubectl("patch", "service", "changes", "-p", `{"spec":{"type":"ClusterIP"}}`)
	for _, a := range addrs {
		s.silent(a)
	}
	s.Eventually("our marks to go", func() error {
		var o corev1.Service
		if err := k8s.Get(s.Ctx, harness.InDefault("changes"), &o); err != nil {
			return err
		}
		if _, marked := o.Annotations[v1beta1.AnnotationAllocatedFrom]; marked || len(o.Status.Conditions) > 0 || len(o.Status.LoadBalancer.Ingress) > 0 {
			return fmt.Errorf("annotations %v, status %+v", o.Annotations, o.Status)
		}
		return nil
	})
	s.Kubectl("patch", "service", "changes", "-p", `{"spec":{"type":"LoadBalancer"}}`)
	s.Addresses("changes", 2)
}

func TestControllerKilled(t *testing.T) {
	s := newScene(t)
	before := s.service(2, "survivor", "web", dualStack, 80)
	s.Kubectl("--namespace", harness.Namespace, "delete", "pods", "-l", "app.kubernetes.io/component=controller", "--grace-period=0", "--force")
	s.service(2, "newcomer", "web", dualStack, 80)
	if after := s.Addresses("survivor", 2); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	for _, a := range before {
		s.answer(a, 80)
	}
}

func TestNotOurs(t *testing.T) {
	s := newScene(t)
	s.Apply(`apiVersion: v1
kind: Service
metadata: {name: foreign}
spec: {type: LoadBalancer, loadBalancerClass: example.com/other, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: external}
spec: {type: ExternalName, externalName: www.example.com}
`)
	// A Service made later is served: by then the controller has seen these three.
	s.service(1, "ours", "web", "", 80)
	for _, name := range []string{"foreign", "headless", "external"} {
		var o corev1.Service
		s.Must(k8s.Get(s.Ctx, harness.InDefault(name), &o))
		if o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" || len(o.Status.Conditions) > 0 || len(o.Status.LoadBalancer.Ingress) > 0 {
			t.Errorf("%s was touched: annotations %v, status %+v", name, o.Annotations, o.Status)
		}
	}
}

func TestAnInvalidPoolHurtsOnlyItself(t *testing.T) {
	s := newScene(t)
	backwards := fmt.Sprintf("%s-%s", lab.Addr4(249), lab.Addr4(245))
	s.Apply(pool("backwards", backwards))
	s.Apply(poolOf("overlaps", lab.Addr4(201)))
	for name, reason := range map[string]string{"backwards": "BadRange", "overlaps": "Overlap"} {
		s.Eventually("pool "+name+" to say why", func() error {
			var p v1beta1.IPAddressPool
			if err := k8s.Get(s.Ctx, client.ObjectKey{Name: name}, &p); err != nil {
				return err
			}
			for _, c := range p.Status.Conditions {
				if c.Type == v1beta1.ConditionReady && c.Status == metav1.ConditionFalse && c.Reason == reason {
					return nil
				}
			}
			return fmt.Errorf("conditions %+v", p.Status.Conditions)
		})
	}
	s.answer(s.service(1, "undisturbed", "web", "", 80)[0], 80)

	err := harness.Apply(s.Ctx, lab, pool("host-bits", lab.Addr4(9).String()+"/24"))
	if err == nil || !containsAll(err.Error(), lab.Addr4(0).String()+"/24", lab.Addr4(9).String()+"/32") {
		t.Errorf("host bits: %v; want a refusal that names both CIDRs it might have meant", err)
	}
}

func poolOf(name string, a netip.Addr) string { return pool(name, a.String()) }

func pool(name, addresses string) string {
	return fmt.Sprintf("apiVersion: belfry.dev/v1beta1\nkind: IPAddressPool\nmetadata: {name: %s}\nspec: {addresses: [%q]}\n", name, addresses)
}
