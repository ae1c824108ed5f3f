package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// source is one object of another system while it is being turned into ours.
type source struct {
	*unstructured.Unstructured
	*Result
	name string // as notes call it
}

func (s source) spec() map[string]any {
	spec, _, _ := unstructured.NestedMap(s.Object, "spec")
	return spec
}

func (s source) say(level Level, field, format string, args ...any) {
	s.note(level, s.name, field, fmt.Sprintf(format, args...))
}

// out adds an object of ours with the name and the labels of the source.
func (s source) out(kind string, spec map[string]any) string {
	return s.put(s.name, kind, s.GetName(), s.GetLabels(), spec)
}

// readers of the kinds that are understood, by group and kind; an empty group is the core's.
func reader(group, kind string) func(source) {
	switch group + "/" + kind {
	case "metallb.io/IPAddressPool":
		return pool
	case "metallb.io/AddressPool":
		return addressPool
	case "metallb.io/L2Advertisement":
		return l2Advertisement
	case "metallb.io/BGPAdvertisement":
		return bgpAdvertisement
	case "metallb.io/BGPPeer":
		return bgpPeer
	case "metallb.io/BFDProfile":
		return bfdProfile
	case "metallb.io/Community":
		return community
	case chartKind:
		return chart
	case "frrk8s.metallb.io/FRRConfiguration":
		return frrConfiguration
	case "/ConfigMap":
		return configMap
	case "apps/Deployment", "apps/DaemonSet":
		return workload
	case "cilium.io/CiliumLoadBalancerIPPool":
		return ciliumPool
	case "cilium.io/CiliumL2AnnouncementPolicy":
		return ciliumL2
	case "cilium.io/CiliumBGPClusterConfig", "cilium.io/CiliumBGPPeerConfig", "cilium.io/CiliumBGPAdvertisement":
		return nil // read together, by ciliumBGP
	case "network.kubesphere.io/Eip":
		return eip
	}
	return nil
}

// From turns objects of other systems into ours. Kinds that it does not know are passed over, so that a whole namespace
// may be given to it. The result does not depend on the order of the objects.
func From(objects []*unstructured.Unstructured) Result {
	var r Result
	sorted := slices.Clone(objects)
	slices.SortFunc(sorted, func(a, b *unstructured.Unstructured) int {
		return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	for _, o := range sorted {
		if read := reader(o.GroupVersionKind().Group, o.GetKind()); read != nil {
			read(source{o.DeepCopy(), &r, title(o)})
		}
	}
	ciliumBGP(&r, sorted)
	r.sort()
	r.validate()
	return r
}

func title(o *unstructured.Unstructured) string {
	if o.GetKind() == "ChartValues" {
		return "chart values " + o.GetName()
	}
	if o.GetNamespace() == "" {
		return o.GetKind() + " " + o.GetName()
	}
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}

// Parse reads a stream of YAML or JSON documents; Lists are taken apart. The error names the document that is none.
func Parse(text string) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for i, doc := range strings.Split("\n"+text, "\n---") {
		var m map[string]any
		if err := yaml.Unmarshal([]byte(doc), &m); err != nil {
			return nil, fmt.Errorf("document %d is no YAML object: %w", i+1, err)
		}
		if len(m) == 0 {
			continue
		}
		o := &unstructured.Unstructured{Object: m}
		if o.GetKind() == "" || o.GetAPIVersion() == "" {
			return nil, fmt.Errorf("document %d has no apiVersion and kind", i+1)
		}
		if !o.IsList() {
			out = append(out, o)
			continue
		}
		err := o.EachListItem(func(item runtimeObject) error {
			if u, ok := item.(*unstructured.Unstructured); ok {
				out = append(out, u)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return out, nil
}
