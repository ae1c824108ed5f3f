package spec

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func advertisement(name string, created int, s v1beta1.L2AdvertisementSpec) v1beta1.L2Advertisement {
	return v1beta1.L2Advertisement{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(epoch.Add(time.Duration(created) * time.Second))},
		Spec:       s,
	}
}

func having(key, value string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
}

func nonsense() metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: "Near"}}}
}

// parseAdvertisements parses them beside the pools p, labelled tier=gold, and broken, which cannot be used.
func parseAdvertisements(list ...v1beta1.L2Advertisement) (*Snapshot, []Problem) {
	gold := pool("p", 0, "192.0.2.0/24")
	gold.Labels = map[string]string{"tier": "gold"}
	snap, problems := Parse(Objects{Pools: []v1beta1.IPAddressPool{gold, pool("broken", 0, "x")}, L2Advertisements: list})
	var own []Problem
	for _, p := range problems {
		if p.Kind == "L2Advertisement" {
			own = append(own, p)
		}
	}
	return snap, own
}

// TestAdvertisementProblems: what is wrong is left out and told; what may come yet, or what another overrides, is told.
func TestAdvertisementProblems(t *testing.T) {
	for _, c := range []struct {
		name     string
		list     []v1beta1.L2Advertisement
		want     string // names of those in use
		problems []string
	}{
		{name: "all", list: []v1beta1.L2Advertisement{advertisement("all", 0, v1beta1.L2AdvertisementSpec{})}, want: "all"},
		{
			name:     "a pool that is not there, one that is wrong",
			list:     []v1beta1.L2Advertisement{advertisement("a", 0, v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"p", "broken", "later", "never"}})},
			want:     "a",
			problems: []string{"a UnknownPool no IPAddressPool later, never"},
		},
		{
			name: "selectors that are none",
			list: []v1beta1.L2Advertisement{
				advertisement("nodes", 0, v1beta1.L2AdvertisementSpec{NodeSelectors: []metav1.LabelSelector{having("zone", "a"), nonsense()}}),
				advertisement("pools", 0, v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: []metav1.LabelSelector{nonsense()}}),
				advertisement("preferred", 0, v1beta1.L2AdvertisementSpec{PreferredNodeSelectors: []v1beta1.PreferredNodes{{Weight: 1, Preference: nonsense()}}}),
				advertisement("services", 0, v1beta1.L2AdvertisementSpec{ServiceSelectors: []metav1.LabelSelector{nonsense()}}),
			},
			problems: []string{
				"nodes BadSelector spec.nodeSelectors[1]: ", "pools BadSelector spec.ipAddressPoolSelectors[0]: ",
				"preferred BadSelector spec.preferredNodeSelectors[0].preference: ", "services BadSelector spec.serviceSelectors[0]: ",
			},
		},
		{
			name:     "an interface that is no glob",
			list:     []v1beta1.L2Advertisement{advertisement("a", 0, v1beta1.L2AdvertisementSpec{Interfaces: []v1beta1.InterfaceName{"eth0", "en[0"}})},
			problems: []string{`a BadInterface spec.interfaces[1]: "en[0" is no glob`},
		},
		{
			name: "the younger one's settings do not count",
			list: []v1beta1.L2Advertisement{
				advertisement("a-younger", 2, v1beta1.L2AdvertisementSpec{Failback: v1beta1.FailbackNever, ConflictDetection: v1beta1.ConflictOff}),
				advertisement("b-elder", 1, v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"p"}}),
				advertisement("c-younger", 3, v1beta1.L2AdvertisementSpec{Failback: v1beta1.FailbackImmediate}),
			},
			want: "a-younger b-elder c-younger",
			problems: []string{
				"a-younger SettingsDiffer L2Advertisement b-elder, which is older, selects addresses of pool p too, with another failback (delayed, not never) and conflictDetection (probe, not off) than a-younger",
				"c-younger SettingsDiffer L2Advertisement b-elder, which is older, selects addresses of pool p too, with another failback (delayed, not immediate)",
			},
		},
		{
			name: "of the same age the first by name counts",
			list: []v1beta1.L2Advertisement{
				advertisement("b", 1, v1beta1.L2AdvertisementSpec{Failback: v1beta1.FailbackNever}),
				advertisement("a", 1, v1beta1.L2AdvertisementSpec{}),
			},
			want:     "a b",
			problems: []string{"b SettingsDiffer L2Advertisement a, which is older"},
		},
		{
			name: "settings may differ where no address has both",
			list: []v1beta1.L2Advertisement{
				advertisement("gold", 0, v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: []metav1.LabelSelector{having("tier", "gold")}, Failback: v1beta1.FailbackNever,
					ServiceSelectors: []metav1.LabelSelector{having("app", "a"), having("app", "b")}}),
				advertisement("other-pool", 1, v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"broken"}}),
				advertisement("other-services", 1, v1beta1.L2AdvertisementSpec{ServiceSelectors: []metav1.LabelSelector{having("app", "c")}, IPAddressPools: []string{"p"}}),
			},
			want: "gold other-pool other-services",
		},
		{
			name: "Services that may be the same",
			list: []v1beta1.L2Advertisement{
				advertisement("a", 0, v1beta1.L2AdvertisementSpec{ServiceSelectors: []metav1.LabelSelector{having("app", "a")}, Failback: v1beta1.FailbackNever}),
				advertisement("b", 1, v1beta1.L2AdvertisementSpec{ServiceSelectors: []metav1.LabelSelector{having("team", "b")}}),
			},
			want:     "a b",
			problems: []string{"b SettingsDiffer failback (never, not delayed)"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			snap, problems := parseAdvertisements(c.list...)
			var names []string
			for _, a := range snap.L2Advertisements {
				names = append(names, a.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("in use are %q, want %q", got, c.want)
			}
			checkProblems(t, "L2Advertisement", c.problems, problems)
		})
	}
}

func TestAdvertisementSelects(t *testing.T) {
	snap, _ := parseAdvertisements(
		advertisement("all", 1, v1beta1.L2AdvertisementSpec{}),
		advertisement("some", 0, v1beta1.L2AdvertisementSpec{
			IPAddressPools: []string{"broken"}, IPAddressPoolSelectors: []metav1.LabelSelector{having("tier", "gold"), having("tier", "silver")},
			ServiceSelectors: []metav1.LabelSelector{having("app", "web"), having("app", "dns")},
			NodeSelectors:    []metav1.LabelSelector{having("zone", "a")},
			PreferredNodeSelectors: []v1beta1.PreferredNodes{
				{Weight: 100, Preference: having("rack", "1")}, {Weight: 1, Preference: having("disk", "ssd")},
			},
			Interfaces: []v1beta1.InterfaceName{"eth0", "en[0-4]*", "bond?", "a[0]"},
			Failback:   v1beta1.FailbackImmediate, ConflictDetection: v1beta1.ConflictMonitor,
		}),
		advertisement("unlabelled", 0, v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: []metav1.LabelSelector{{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: metav1.LabelSelectorOpDoesNotExist}},
		}}}),
	)
	all, some, unlabelled := snap.L2Advertisements[0], snap.L2Advertisements[1], snap.L2Advertisements[2]
	for _, c := range []struct {
		what      string
		got, want bool
	}{
		{"all: a pool", all.SelectsPool("x", labels.Set{}), true},
		{"all: a pool that is gone", all.SelectsPool("x", nil), true},
		{"all: a Service", all.SelectsService(nil), true},
		{"all: a node", all.SelectsNode(nil), true},
		{"all: an interface", all.SelectsInterface("eth0"), true},
		{"some: a pool by name", some.SelectsPool("broken", labels.Set{}), true},
		{"some: a pool by name, gone", some.SelectsPool("broken", nil), true},
		{"some: a pool by a label", some.SelectsPool("p", labels.Set{"tier": "silver"}), true},
		{"some: another pool", some.SelectsPool("p", labels.Set{"tier": "tin"}), false},
		{"unlabelled: a pool", unlabelled.SelectsPool("p", labels.Set{}), true},
		{"unlabelled: a pool that is gone", unlabelled.SelectsPool("p", nil), false},
		{"some: a Service", some.SelectsService(Labels{{"app", "dns"}}), true},
		{"some: another Service", some.SelectsService(Labels{{"app", "mail"}}), false},
		{"some: a node", some.SelectsNode(labels.Set{"zone": "a"}), true},
		{"some: another node", some.SelectsNode(labels.Set{"zone": "b"}), false},
		{"some: eth0", some.SelectsInterface("eth0"), true},
		{"some: eth01", some.SelectsInterface("eth01"), false},
		{"some: en4p1", some.SelectsInterface("en4p1"), true},
		{"some: en5", some.SelectsInterface("en5"), false},
		{"some: bond1", some.SelectsInterface("bond1"), true},
		{"some: bond10", some.SelectsInterface("bond10"), false},
		{"some: a name with brackets", some.SelectsInterface("a[0]"), true},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", c.what, c.got)
		}
	}
	for want, l := range map[int]labels.Set{0: nil, 1: {"disk": "ssd"}, 100: {"rack": "1"}, 101: {"rack": "1", "disk": "ssd"}} {
		if got := some.Weight(l); got != want {
			t.Errorf("weight of %v: %d, want %d", l, got, want)
		}
	}
	if all.Failback != FailbackDelayed || all.Conflicts != ConflictProbe || some.Failback != FailbackImmediate || some.Conflicts != ConflictMonitor {
		t.Errorf("settings are %s and %s, %s and %s", all.Failback, all.Conflicts, some.Failback, some.Conflicts)
	}
}

// TestL2Of: the oldest advertisement of a pool comes first, whatever its name.
func TestL2Of(t *testing.T) {
	snap, _ := parseAdvertisements(
		advertisement("a", 2, v1beta1.L2AdvertisementSpec{}),
		advertisement("b", 1, v1beta1.L2AdvertisementSpec{IPAddressPoolSelectors: []metav1.LabelSelector{having("tier", "gold")}}),
		advertisement("c", 0, v1beta1.L2AdvertisementSpec{IPAddressPools: []string{"broken"}}),
	)
	for pool, want := range map[string]string{"p": "b a", "broken": "c a", "gone": "a"} {
		var names []string
		for _, a := range snap.L2Of(pool) {
			names = append(names, a.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("pool %s: %q, want %q", pool, got, want)
		}
	}
}
