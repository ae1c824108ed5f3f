package migrate

import (
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func ciliumPool(s source) {
	var addresses, exclude []any
	blocks, _ := s.spec()["blocks"].([]any)
	if old, ok := s.spec()["cidrs"].([]any); ok { // before 1.15
		blocks = append(blocks, old...)
	}
	ends := text(s.spec()["allowFirstLastIPs"])
	for i, b := range objects(blocks) {
		cidr, start, stop := text(b["cidr"]), text(b["start"]), text(b["stop"])
		switch {
		case cidr != "":
			addresses = append(addresses, s.ranges(fmt.Sprintf("spec.blocks[%d].cidr", i), []string{cidr})...)
			if p, err := netip.ParsePrefix(cidr); err == nil && ends == "No" {
				exclude = append(exclude, firstAndLast(p)...)
			}
		case stop == "":
			addresses = append(addresses, start)
		default:
			addresses = append(addresses, start+"-"+stop)
		}
	}
	spec := map[string]any{"addresses": addresses}
	if len(exclude) > 0 {
		spec["exclude"] = exclude
	}
	if off, _ := s.spec()["disabled"].(bool); off {
		spec["disabled"] = true
	}
	if allocation := s.ciliumServices(); allocation != nil {
		spec["serviceAllocation"] = allocation
	}
	s.lost("blocks", "cidrs", "allowFirstLastIPs", "disabled", "serviceSelector")
	s.out("IPAddressPool", spec)
}

// firstAndLast are the ends of a prefix, where it has any.
func firstAndLast(p netip.Prefix) []any {
	if p.Addr().BitLen()-p.Bits() < 2 {
		return nil
	}
	first, last := p.Masked().Addr(), p.Masked().Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	end, _ := netip.AddrFromSlice(last)
	return []any{first.String(), end.String()}
}

// namespaceKey is the pretended label by which Cilium's selectors of Services name a namespace.
const namespaceKey = "io.kubernetes.service.namespace"

// ciliumServices turns a selector of Services, which may also name namespaces, into an allocation.
func (s source) ciliumServices() map[string]any {
	selector, found, _ := unstructured.NestedMap(s.Object, "spec", "serviceSelector")
	if !found {
		return nil
	}
	namespaces, rest := s.splitNamespace("spec.serviceSelector", selector)
	out := map[string]any{}
	if len(namespaces) > 0 {
		out["namespaces"] = namespaces
	}
	if len(rest) > 0 {
		out["serviceSelectors"] = []any{rest}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (s source) splitNamespace(field string, selector map[string]any) (namespaces []any, rest map[string]any) {
	rest = map[string]any{}
	labels, _, _ := unstructured.NestedStringMap(selector, "matchLabels")
	kept := map[string]any{}
	for k, v := range labels {
		switch {
		case k == namespaceKey:
			namespaces = append(namespaces, v)
		case strings.HasPrefix(k, "io.kubernetes.service."):
			s.say(Lost, field, "%s selects by the name of the Service; use the annotation belfry.dev/pool on it", k)
		default:
			kept[k] = v
		}
	}
	if len(kept) > 0 {
		rest["matchLabels"] = kept
	}
	expressions, _, _ := unstructured.NestedSlice(selector, "matchExpressions")
	var others []any
	for _, e := range objects(expressions) {
		switch {
		case text(e["key"]) == namespaceKey && text(e["operator"]) == "In":
			for _, v := range texts(e["values"]) {
				namespaces = append(namespaces, v)
			}
		case strings.HasPrefix(text(e["key"]), "io.kubernetes.service."):
			s.say(Lost, field, "%s %s cannot be said here", text(e["key"]), text(e["operator"]))
		default:
			others = append(others, e)
		}
	}
	if len(others) > 0 {
		rest["matchExpressions"] = others
	}
	return namespaces, rest
}

func ciliumL2(s source) {
	spec := map[string]any{}
	if selector, ok, _ := unstructured.NestedMap(s.Object, "spec", "nodeSelector"); ok {
		spec["nodeSelectors"] = []any{selector}
	}
	if selector, ok, _ := unstructured.NestedMap(s.Object, "spec", "serviceSelector"); ok {
		spec["serviceSelectors"] = []any{selector}
	}
	var names []any
	for i, expression := range texts(s.spec()["interfaces"]) {
		glob, ok := globOf(expression)
		if !ok {
			s.say(Lost, fmt.Sprintf("spec.interfaces[%d]", i), "the expression %q cannot be said as a glob; name the interfaces", expression)
			continue
		}
		names = append(names, glob)
	}
	if len(names) > 0 {
		spec["interfaces"] = names
	}
	if on, _ := s.spec()["externalIPs"].(bool); on {
		s.say(Lost, "spec.externalIPs", "Belfry announces load balancer addresses only")
	}
	s.lost("nodeSelector", "serviceSelector", "interfaces", "externalIPs", "loadBalancerIPs")
	s.out("L2Advertisement", spec)
}

// globOf turns the regular expressions that people write for interfaces into globs: ^eth[0-9]+ into eth[0-9]*.
func globOf(expression string) (string, bool) {
	s := strings.TrimPrefix(expression, "^")
	exact := strings.HasSuffix(s, "$")
	s = strings.TrimSuffix(s, "$")
	for _, r := range []struct{ from, to string }{{"[0-9]+", "[0-9]*"}, {`\d+`, "[0-9]*"}, {".*", "*"}, {".+", "?*"}} {
		s = strings.ReplaceAll(s, r.from, r.to)
	}
	if strings.ContainsAny(strings.ReplaceAll(s, "[0-9]", ""), `\+()|{}^$[]`) || strings.Contains(s, ".") && !exact {
		return "", false
	}
	if !exact && !strings.HasSuffix(s, "*") {
		s += "*"
	}
	return s, s != ""
}
