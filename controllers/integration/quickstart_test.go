package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/controllers"
)

func quickstart(addresses ...string) func(*controllers.Options) {
	return func(o *controllers.Options) { o.QuickstartAddresses = addresses }
}

func quickPool(t *testing.T) *v1beta1.IPAddressPool {
	t.Helper()
	p := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: controllers.QuickstartName}}
	eventually(t, "the quickstart pool", func() error { return shared.client.Get(t.Context(), client.ObjectKeyFromObject(p), p) })
	return p
}

func quickL2() *v1beta1.L2Advertisement {
	return &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: controllers.QuickstartName}}
}

// hasRanges waits until the quickstart pool is of exactly these addresses.
func hasRanges(t *testing.T, want ...v1beta1.AddressRange) {
	t.Helper()
	eventually(t, "addresses of the quickstart pool", func() error {
		if got := quickPool(t).Spec.Addresses; !slices.Equal(got, want) {
			return fmt.Errorf("%v, want %v", got, want)
		}
		return nil
	})
}

func TestQuickstartMakesAPoolAndItsAdvertisement(t *testing.T) {
	clean(t)
	first := start(t, quickstart("192.0.2.240-192.0.2.250"))
	hasRanges(t, "192.0.2.240-192.0.2.250")
	eventually(t, "the advertisement", func() error { return shared.client.Get(t.Context(), client.ObjectKeyFromObject(quickL2()), quickL2()) })
	l2 := get(t, quickL2())
	if diff := cmp.Diff([]string{controllers.QuickstartName}, l2.Spec.IPAddressPools); diff != "" {
		t.Errorf("the advertisement's pools (-want +got):\n%s", diff)
	}
	for _, o := range []client.Object{quickPool(t), l2} {
		if diff := cmp.Diff(map[string]string{v1beta1.LabelQuickstart: "true"}, o.GetLabels()); diff != "" {
			t.Errorf("labels of %T (-want +got):\n%s", o, diff)
		}
		if len(o.GetOwnerReferences()) > 0 || len(o.GetFinalizers()) > 0 {
			t.Errorf("%T would go with something else: %v %v", o, o.GetOwnerReferences(), o.GetFinalizers())
		}
	}
	ready(t, quickPool(t), metav1.ConditionTrue, "Valid")
	s := newService("first")
	create(t, s)
	hasAddresses(t, s, "192.0.2.240")

	// What a user adds to the pool is the user's; what the flag says is put right.
	edit(t, quickPool(t), func(p *v1beta1.IPAddressPool) {
		p.Spec.Addresses, p.Spec.Exclude = []v1beta1.AddressRange{"192.0.2.1"}, []v1beta1.AddressRange{"192.0.2.241"}
	})
	hasRanges(t, "192.0.2.240-192.0.2.250")
	if diff := cmp.Diff([]v1beta1.AddressRange{"192.0.2.241"}, quickPool(t).Spec.Exclude); diff != "" {
		t.Errorf("exclude (-want +got):\n%s", diff)
	}
	must(t, shared.client.Delete(t.Context(), quickL2()))
	eventually(t, "a deleted advertisement to come back", func() error { return shared.client.Get(t.Context(), client.ObjectKeyFromObject(quickL2()), quickL2()) })

	// Another value is an update; none leaves what is there.
	must(t, first.stop())
	second := start(t, quickstart("192.0.2.240-192.0.2.245", "2001:db8::/120"))
	hasRanges(t, "192.0.2.240-192.0.2.245", "2001:db8::-2001:db8::ff")
	must(t, second.stop())
	start(t, quickstart())
	hasAddresses(t, s, "192.0.2.240")
	third := newService("second")
	create(t, third)
	hasAddresses(t, third, "192.0.2.242")
	hasRanges(t, "192.0.2.240-192.0.2.245", "2001:db8::-2001:db8::ff")
}

func TestQuickstartLeavesOthersObjectsAlone(t *testing.T) {
	clean(t)
	mine := newPool(controllers.QuickstartName, "198.51.100.0/28")
	create(t, mine)
	c := start(t, quickstart("192.0.2.240-192.0.2.250"))
	hasEvent(t, mine, "QuickstartNotApplied", v1beta1.LabelQuickstart)
	must(t, c.stop())
	c = start(t, quickstart("192.0.2.240-192.0.2.250"), often)
	s := newService("a")
	create(t, s)
	hasAddresses(t, s, "198.51.100.0")
	if got := get(t, mine).Spec.Addresses; !slices.Equal(got, []v1beta1.AddressRange{"198.51.100.0/28"}) {
		t.Errorf("the pool is of %v now", got)
	}
	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(quickL2()), quickL2()); !apierrors.IsNotFound(err) {
		t.Errorf("an advertisement of somebody else's pool: %v", err)
	}
	c.fullPasses(3)
	if n := told(t, mine, "QuickstartNotApplied"); n != 1 {
		t.Errorf("it was told %d times, by two leaders", n)
	}
	if left := meta.FindStatusCondition(get(t, mine).Status.Conditions, v1beta1.ConditionQuickstart); left == nil {
		t.Errorf("its conditions are %+v", mine.Status.Conditions)
	}
	for write := range c.net.written() {
		if write == "POST ipaddresspools" || write == "PATCH ipaddresspools" || write == "POST l2advertisements" {
			t.Errorf("it tried to %s", write)
		}
	}
	// Its owner gives it away.
	edit(t, mine, func(p *v1beta1.IPAddressPool) { p.Labels = map[string]string{v1beta1.LabelQuickstart: "true"} })
	hasRanges(t, "192.0.2.240-192.0.2.250")
	eventually(t, "the condition to go", func() error {
		if left := meta.FindStatusCondition(get(t, mine).Status.Conditions, v1beta1.ConditionQuickstart); left != nil {
			return fmt.Errorf("it says %s", left.Message)
		}
		return nil
	})
}

// TestQuickstartThatOverlaps: what is wrong with the addresses is said in the pool's status, and hurts no other pool.
func TestQuickstartThatOverlaps(t *testing.T) {
	clean(t)
	create(t, newPool("other", "192.0.2.0/28"))
	start(t, quickstart("192.0.2.10-192.0.2.20"))
	ready(t, quickPool(t), metav1.ConditionFalse, "Overlap")
	s := newService("a")
	create(t, s)
	hasAddresses(t, s, "192.0.2.0")
}

// TestQuickstartThatTheAPIServerRefuses: it is tried again and again, in vain, and everybody else gets addresses.
func TestQuickstartThatTheAPIServerRefuses(t *testing.T) {
	clean(t)
	create(t, newPool("other", "192.0.2.0/28"))
	c := start(t, quietly, quickstart("127.0.0.1-127.0.0.9"))
	eventually(t, "two attempts", func() error {
		if n := c.metric("belfry_api_writes_total", "kind=IPAddressPool", "result=refused"); n < 2 {
			return fmt.Errorf("%v", n)
		}
		return nil
	})
	s := newService("a")
	create(t, s)
	hasAddresses(t, s, "192.0.2.0")
}

func TestQuickstartFlagThatIsNoAddress(t *testing.T) {
	o := controllers.DefaultOptions()
	o.Namespace, o.HealthAddress, o.MetricsAddress, o.Registerer = "default", "0", "0", prometheus.NewRegistry()
	o.QuickstartAddresses = []string{"192.0.2.9-192.0.2.1"}
	if _, err := controllers.New(shared.cfg, o); err == nil || !strings.Contains(err.Error(), "192.0.2.1-192.0.2.9") {
		t.Errorf("%v, want an error that says how to write it", err)
	}
}
