package plan

import (
	"net/netip"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// digested are the inputs of a digest of node n1.
type digested struct {
	objects *spec.Objects
	world   World
	node    spec.Node
}

func digestOf(t *testing.T, change func(*digested)) string {
	t.Helper()
	d := digested{objects: config()}
	d.world = routing(t, d.objects)
	d.world.Nodes, d.node = nil, told("n1").Node
	d.node.Annotations = map[string]string{"a": "1"}
	change(&d)
	if snapshot, problems := spec.Parse(*d.objects); len(problems) == 0 {
		d.world.Config = snapshot
	}
	return Digest(*d.objects, d.world, d.node)
}

func TestDigest(t *testing.T) {
	other := func(held ...string) func(*digested) {
		return func(d *digested) { d.world.Services = append(d.world.Services, announcedService("other", held...)) }
	}
	aggregate := func(d *digested) {
		d.objects.BGPAdvertisements[0].Spec.AggregationLength = new(int32(24))
	}
	for _, tt := range []struct {
		name   string
		change func(*digested)
		same   bool
	}{
		{"nothing", func(*digested) {}, true},
		{"an annotation of the Node", func(d *digested) { d.node.Annotations["a"] = "2" }, true},
		{"a Service without address", other(), true},
		{"a Service that BGP announces", other("192.0.2.11"), false},
		{"one of another proxy", func(d *digested) { other("192.0.2.11")(d); d.world.Services[1].ProxyName = "x" }, true},
		{"one without pods", func(d *digested) { other("192.0.2.11")(d); d.world.Services[1].Endpoints = spec.Endpoints{} }, true},
		{"one with pods elsewhere", func(d *digested) {
			other("192.0.2.11")(d)
			d.world.Services[1].Local, d.world.Services[1].Endpoints = true, backends("n2")
		}, true},
		{"one that shares the address", other("192.0.2.10"), true},
		{"more pods", func(d *digested) { d.world.Services[0].Endpoints = backends("n1", "n2", "n3") }, true},
		{"no pods", func(d *digested) { d.world.Services[0].Endpoints = spec.Endpoints{} }, false},
		{"an edit of a pool", func(d *digested) { d.objects.Pools[0].Generation++ }, false},
		{"a pool made anew", func(d *digested) { d.objects.Pools[0].UID = "2" }, false},
		{"labels of a pool", func(d *digested) { d.objects.Pools[0].Labels = nil }, false},
		{"empty labels", func(d *digested) { d.objects.BGPAdvertisements[0].Labels = map[string]string{} }, true},
		{"annotations of a pool", func(d *digested) { d.objects.Pools[0].Annotations = map[string]string{"a": "1"} }, true},
		{"one more pool", func(d *digested) { d.objects.Pools = append(d.objects.Pools, pool("z")) }, false},
		{"an edit of a peer", func(d *digested) { d.objects.BGPPeers[1].Generation++ }, false},
		{"an edit of an advertisement", func(d *digested) { d.objects.BGPAdvertisements[0].Generation++ }, false},
		{"an L2Advertisement", func(d *digested) {
			d.objects.L2Advertisements = []v1beta1.L2Advertisement{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}
		}, false},
		{"a Community", func(d *digested) {
			d.objects.Communities = []v1beta1.Community{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}
		}, false},
		{"a BFDProfile", func(d *digested) {
			d.objects.BFDProfiles = []v1beta1.BFDProfile{{ObjectMeta: metav1.ObjectMeta{Name: "a"}}}
		}, false},
		{"the other order", func(d *digested) {
			p := d.objects.BGPPeers
			p[0], p[1] = p[1], p[0]
		}, true},
		{"a label of the Node", func(d *digested) { d.node.Labels = labels.Set{"name": "n1", "b": "1"} }, true},
		{"a label that a peer asks for", func(d *digested) { selectNodes(d, "name", "n1"); d.node.Labels = nil }, false},
		{"the Node is not Ready", func(d *digested) { d.node.Ready = false }, false},
		{"the Node is drained", func(d *digested) { d.node.Draining = true }, false},
		{"the Node is cordoned", func(d *digested) { d.node.Cordoned = true }, false},
		{"the Node is excluded", func(d *digested) { d.node.Excluded = true }, false},
		{"the Node's address", func(d *digested) { d.node.Addresses = []netip.Addr{netip.MustParseAddr("10.0.0.11")} }, false},
	} {
		before := digestOf(t, func(*digested) {})
		if after := digestOf(t, tt.change); DigestsDiffer(before, after) == tt.same {
			t.Errorf("%s: %s became %s", tt.name, before, after)
		}
	}
	for name, change := range map[string]func(*digested){
		"a node that is not selected any more": func(d *digested) { d.node.Labels = nil },
		"a node that is preferred":             func(d *digested) { d.node.Labels = labels.Set{"name": "n1", "fast": "yes"} },
	} {
		before := digestOf(t, preferred)
		if after := digestOf(t, func(d *digested) { preferred(d); change(d) }); !DigestsDiffer(before, after) {
			t.Errorf("%s: still %s", name, after)
		}
	}
	if before, after := digestOf(t, aggregate), digestOf(t, func(d *digested) { aggregate(d); other("192.0.2.11")(d) }); before != after {
		t.Errorf("one more Service under an aggregate: %s became %s", before, after)
	}
}

// selectNodes has the first router speak only to nodes with a label.
func selectNodes(d *digested, key, value string) {
	d.objects.BGPPeers[0].Spec.NodeSelectors = []metav1.LabelSelector{{MatchLabels: map[string]string{key: value}}}
}

// preferred adds an L2Advertisement for nodes with a name, fast ones first.
func preferred(d *digested) {
	selector := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "name", Operator: metav1.LabelSelectorOpExists}}}
	d.objects.L2Advertisements = []v1beta1.L2Advertisement{{
		ObjectMeta: metav1.ObjectMeta{Name: "l2"},
		Spec: v1beta1.L2AdvertisementSpec{
			NodeSelectors:          []metav1.LabelSelector{selector},
			PreferredNodeSelectors: []v1beta1.PreferredNodes{{Weight: 5, Preference: metav1.LabelSelector{MatchLabels: map[string]string{"fast": "yes"}}}},
		},
	}}
}

func pool(name string) v1beta1.IPAddressPool {
	return v1beta1.IPAddressPool{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec:       v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"198.51.100.0/24"}},
	}
}

// TestDigestForm: another way to work it out must not pass for another plan. If this fails, change digestForm and what is
// wanted here.
func TestDigestForm(t *testing.T) {
	const want = "1-22d4036c522e9a76"
	if got := digestOf(t, func(*digested) {}); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, tt := range []struct {
		a, b   string
		differ bool
	}{{"1-aa", "1-aa", false}, {"1-aa", "1-bb", true}, {"0-aa", "1-aa", false}, {"", "1-aa", false}, {"1-aa", "", false}, {"", "", false}} {
		if got := DigestsDiffer(tt.a, tt.b); got != tt.differ {
			t.Errorf("%q and %q: %t", tt.a, tt.b, got)
		}
	}
}
