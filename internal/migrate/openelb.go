package migrate

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// eip is OpenELB's pool, which also says how it is announced.
func eip(s source) {
	spec := map[string]any{"addresses": s.ranges("spec.address", []string{text(s.spec()["address"])})}
	if off, _ := s.spec()["disable"].(bool); off {
		spec["disabled"] = true
	}
	labels, _, _ := unstructured.NestedMap(s.Object, "spec", "namespaceSelector")
	namespaces, _ := s.spec()["namespaces"].([]any)
	allocation := map[string]any{}
	if len(namespaces) > 0 {
		allocation["namespaces"] = namespaces
	}
	if len(labels) > 0 {
		allocation["namespaceSelectors"] = []any{map[string]any{"matchLabels": labels}}
	}
	if n := integer(s.spec()["priority"]); n != 0 {
		allocation["priority"] = n
	}
	if len(allocation) > 0 {
		spec["serviceAllocation"] = allocation
	}
	s.lost("address", "disable", "namespaceSelector", "namespaces", "priority", "protocol", "interface", "usingKnownIPs")
	pools := []any{s.out("IPAddressPool", spec)}
	switch text(s.spec()["protocol"]) {
	case "layer2":
		ad := map[string]any{"ipAddressPools": pools}
		if name := text(s.spec()["interface"]); name != "" {
			ad["interfaces"] = []any{name}
		}
		s.put(s.name, "L2Advertisement", s.GetName(), nil, ad)
	case "vip":
		s.say(Changed, "spec.protocol", "keepalived is not needed: the addresses are announced with ARP and NDP")
		s.put(s.name, "L2Advertisement", s.GetName(), nil, map[string]any{"ipAddressPools": pools})
	default:
		s.put(s.name, "BGPAdvertisement", s.GetName(), nil, map[string]any{"ipAddressPools": pools})
		s.say(Changed, "spec.protocol", "write a BGPPeer for each BgpPeer of OpenELB: one router, our ASN (BgpConf.spec.as) and its own")
	}
}
