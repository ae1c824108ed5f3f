package integration

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

// step is something that others wait for.
type step struct {
	done chan struct{}
	take func()
}

func newStep(t *testing.T) step {
	done := make(chan struct{})
	s := step{done, sync.OnceFunc(func() { close(done) })}
	t.Cleanup(s.take) // a replica does not end while it waits
	return s
}

func patchOf(r *http.Request, service string) bool {
	return r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/services/"+service+"/status")
}

// labelled is a Service with a label that the pools of this test select.
func labelled(name string) *corev1.Service {
	return newService(name, func(s *corev1.Service) { s.Labels = map[string]string{"app": name} })
}

func forApp(name string) *v1beta1.ServiceAllocation {
	return &v1beta1.ServiceAllocation{Priority: 1, ServiceSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"app": name}}}}
}

// TestTwoLeadersAreRepaired has two controllers lead at once, each by a Lease of its own, and one with an old view of the
// pools: it gives an address to web, the other gives the same one to api before it sees that, and both writes succeed. The
// elder claim keeps the address, the other moves, both are told, and then there is nothing left to write.
func TestTwoLeadersAreRepaired(t *testing.T) {
	clean(t)
	wanted, spare := newPool("wanted", "192.0.2.190"), newPool("spare", "192.0.2.191")
	wanted.Spec.AllocateTo = forApp("web")
	create(t, wanted, spare)
	elsewhere := newNamespace(t, "second-leader", nil)
	late, early := start(t, often), start(t, often, func(o *controllers.Options) { o.Namespace = elsewhere.Name })
	late.fullPasses(1)
	early.fullPasses(1)
	catchUp, promised, webWritten, apiWritten := newStep(t), newStep(t), newStep(t), newStep(t)
	late.net.late.Store(&lateness{func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/ipaddresspools") }, catchUp.done})
	edit(t, wanted, func(p *v1beta1.IPAddressPool) { p.Spec.AllocateTo = forApp("api") })
	ready(t, wanted, metav1.ConditionTrue, "Valid")

	earlyWaits := func(r *http.Request) bool {
		if patchOf(r, "api") {
			promised.take()
		}
		if patchOf(r, "api") || patchOf(r, "web") {
			<-webWritten.done
		}
		return false
	}
	early.net.refuse.Store(&earlyWaits)
	lateWaits := func(r *http.Request) bool {
		if patchOf(r, "web") {
			<-promised.done
		}
		if patchOf(r, "api") {
			<-apiWritten.done
		}
		return false
	}
	late.net.refuse.Store(&lateWaits)

	web, api := labelled("web"), labelled("api")
	create(t, web)
	eventually(t, "api would be the younger", func() error {
		probe := labelled("api")
		must(t, shared.client.Create(t.Context(), probe, client.DryRunAll))
		if !web.CreationTimestamp.Before(&probe.CreationTimestamp) {
			return fmt.Errorf("both would be created at %s", web.CreationTimestamp)
		}
		return nil
	})
	create(t, api)
	hasAddresses(t, web, "192.0.2.190")
	webWritten.take()
	hasEvent(t, api, "AddressAssigned", "192.0.2.190") // so both had it
	apiWritten.take()

	hasAddresses(t, api, "192.0.2.191")
	hasAddresses(t, web, "192.0.2.190")
	hasReason(t, api, metav1.ConditionTrue, "Allocated")
	hasEvent(t, api, "AddressReleased", "192.0.2.190")
	hasEvent(t, web, "AddressKept", "keeps 192.0.2.190, which default/api had too")
	catchUp.take()
	settled := func() string { return get(t, web).ResourceVersion + " " + get(t, api).ResourceVersion }
	eventually(t, "nothing left to write", func() error {
		before := settled()
		late.fullPasses(3)
		early.fullPasses(3)
		if after := settled(); after != before {
			return fmt.Errorf("versions %s, then %s", before, after)
		}
		return nil
	})
	hasAddresses(t, api, "192.0.2.191")
	hasAddresses(t, web, "192.0.2.190")
}
