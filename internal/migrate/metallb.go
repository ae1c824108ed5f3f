package migrate

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// same copies the fields that have the same name and meaning, and notes each other one as lost.
func (s source) same(fields ...string) map[string]any {
	out := map[string]any{}
	for name, v := range s.spec() {
		if slices.Contains(fields, name) {
			out[name] = v
		}
	}
	return out
}

// lost notes every field of the source that is not among those known.
func (s source) lost(known ...string) {
	var names []string
	for name := range s.spec() {
		if !slices.Contains(known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		s.say(Lost, "spec."+name, "has no counterpart")
	}
}

func pool(s source) {
	known := []string{"autoAssign", "avoidBuggyIPs", "serviceAllocation"}
	spec := s.same(known...)
	spec["addresses"] = s.ranges("spec.addresses", texts(s.spec()["addresses"]))
	s.lost(append(known, "addresses")...)
	s.out("IPAddressPool", spec)
}

// addressPool was the kind of MetalLB 0.13 that held a pool and its announcement in one.
func addressPool(s source) {
	spec := s.same("autoAssign")
	spec["addresses"] = s.ranges("spec.addresses", texts(s.spec()["addresses"]))
	s.lost("addresses", "autoAssign", "protocol", "bgpAdvertisements")
	name := s.out("IPAddressPool", spec)
	protocol, _, _ := unstructured.NestedString(s.Object, "spec", "protocol")
	ads, _ := s.spec()["bgpAdvertisements"].([]any)
	s.announce(protocol, name, objects(ads), nil)
}

// announce makes the advertisements of a pool that named its protocol itself.
func (s source) announce(protocol, pool string, ads []map[string]any, rename map[string]string) {
	names := []any{pool}
	if protocol != "bgp" {
		s.put(s.name, "L2Advertisement", pool, nil, map[string]any{"ipAddressPools": names})
		return
	}
	if len(ads) == 0 {
		ads = []map[string]any{{}}
	}
	for i, ad := range ads {
		spec := map[string]any{"ipAddressPools": names}
		for from, v := range ad {
			to := from
			if t, ok := rename[from]; ok {
				to = t
			}
			spec[to] = v
		}
		s.fixCommunities(spec)
		name := pool
		if i > 0 {
			name = fmt.Sprintf("%s-%d", pool, i+1)
		}
		s.put(s.name, "BGPAdvertisement", name, nil, spec)
	}
}

func l2Advertisement(s source) {
	known := []string{"ipAddressPools", "ipAddressPoolSelectors", "serviceSelectors", "nodeSelectors", "interfaces"}
	s.lost(known...)
	s.out("L2Advertisement", s.same(known...))
}

func bgpAdvertisement(s source) {
	known := []string{
		"aggregationLength", "aggregationLengthV6", "localPref", "communities", "ipAddressPools", "ipAddressPoolSelectors",
		"serviceSelectors", "nodeSelectors", "peers",
	}
	s.lost(known...)
	spec := s.same(known...)
	s.fixCommunities(spec)
	s.out("BGPAdvertisement", spec)
}

// wellKnown are communities that Belfry calls by name, and that an alias of yours therefore cannot be called.
func wellKnown(name string) (value string, ok bool) {
	switch name {
	case "no-export":
		return "65535:65281", true
	case "no-advertise":
		return "65535:65282", true
	case "local-as":
		return "65535:65283", true
	case "no-peer":
		return "65535:65284", true
	case "blackhole":
		return "65535:666", true
	case "graceful-shutdown":
		return "65535:0", true
	}
	return "", false
}

// alias is what an alias is called in Belfry: it may neither have a colon nor be called like a well-known community.
func alias(name string) string {
	if _, known := wellKnown(name); known {
		return "my-" + name
	}
	return strings.ReplaceAll(name, ":", "-")
}

func community(s source) {
	var kept []any
	entries, _ := s.spec()["communities"].([]any)
	for i, c := range objects(entries) {
		name, value := text(c["name"]), text(c["value"])
		field := fmt.Sprintf("spec.communities[%d]", i)
		if own := alias(name); own != name {
			s.say(Rewritten, field, "the alias %q is called %q here, and the advertisements that use it say so", name, own)
			name = own
		}
		kept = append(kept, map[string]any{"name": name, "value": value})
	}
	s.lost("communities")
	s.out("Community", map[string]any{"communities": kept})
}

// fixCommunities renames aliases as community does. A name that is no alias there is taken for a well-known community
// of Belfry's only where the source defines none of that name, which is not for this function to know: it renames.
func (s source) fixCommunities(spec map[string]any) {
	list := texts(spec["communities"])
	if len(list) == 0 {
		delete(spec, "communities")
		return
	}
	out := make([]any, len(list))
	for i, c := range list {
		if out[i] = c; !strings.Contains(c, ":") {
			out[i] = alias(c)
		}
	}
	spec["communities"] = out
}

func bfdProfile(s source) {
	known := []string{"receiveInterval", "transmitInterval", "detectMultiplier", "echoInterval", "echoMode", "passiveMode", "minimumTtl"}
	s.lost(known...)
	spec := s.same(known...)
	if on, _ := spec["echoMode"].(bool); !on && spec["echoInterval"] != nil {
		delete(spec, "echoInterval")
		s.say(Rewritten, "spec.echoInterval", "left out, because echoMode is off")
	}
	s.out("BFDProfile", spec)
}

func bgpPeer(s source) {
	known := []string{
		"myASN", "peerASN", "dynamicASN", "peerAddress", "interface", "sourceAddress", "peerPort", "holdTime", "keepaliveTime",
		"connectTime", "routerID", "nodeSelectors", "password", "bfdProfile", "enableGracefulRestart", "ebgpMultiHop", "vrf",
		"dualStackAddressFamily",
	}
	s.lost(append(known, "passwordSecret", "disableMP")...)
	spec := s.same(known...)
	for _, name := range []string{"password", "bfdProfile", "routerID", "sourceAddress", "vrf", "interface", "dynamicASN", "peerAddress"} {
		if spec[name] == "" {
			delete(spec, name)
		}
	}
	for _, name := range []string{"peerPort", "peerASN", "myASN"} {
		if integer(spec[name]) == 0 {
			delete(spec, name)
		}
	}
	s.peerSecret(spec)
	s.peerTimes(spec)
	if on, _ := spec["ebgpMultiHop"].(bool); on && integer(spec["myASN"]) == integer(spec["peerASN"]) {
		delete(spec, "ebgpMultiHop")
		s.say(Rewritten, "spec.ebgpMultiHop", "left out: a router of our own AS may be any number of hops away")
	}
	if s.spec()["disableMP"] != nil {
		s.say(Rewritten, "spec.disableMP", "left out: a session carries the family of the router's address, and both with dualStackAddressFamily: true")
	}
	s.out("BGPPeer", spec)
}

func (s source) peerSecret(spec map[string]any) {
	ref, _, _ := unstructured.NestedMap(s.Object, "spec", "passwordSecret")
	name := text(ref["name"])
	if name == "" {
		return
	}
	namespace := text(ref["namespace"])
	if namespace == "" {
		namespace = s.GetNamespace()
	}
	delete(spec, "password")
	spec["passwordSecret"] = map[string]any{"name": name}
	s.secret(namespace, name)
	s.say(Rewritten, "spec.passwordSecret", "the Secret %s/%s is to be copied into Belfry's namespace, the only one that it is read from", namespace, name)
}

// peerTimes leaves out durations that mean "the default" there.
func (s source) peerTimes(spec map[string]any) {
	for _, name := range []string{"holdTime", "keepaliveTime", "connectTime"} {
		switch v := text(spec[name]); v {
		case "", "0s", "0":
			delete(spec, name)
			if v != "" && name == "holdTime" {
				s.say(Changed, "spec.holdTime", "0 turned the hold timer off; here it is 90s, because a dead router would never be noticed")
			}
		}
	}
}

func frrConfiguration(s source) {
	s.say(Lost, "", "raw FRR configuration has no counterpart; Belfry needs no FRR. See which of it BGPPeer and BGPAdvertisement have as fields")
}

// ranges rewrites CIDRs with host bits, which MetalLB takes for the whole network and Belfry refuses.
func (s source) ranges(field string, list []string) []any {
	out := make([]any, 0, len(list))
	for i, r := range list {
		r = strings.TrimSpace(r)
		if p, err := netip.ParsePrefix(r); err == nil && p != p.Masked() {
			s.say(Rewritten, fmt.Sprintf("%s[%d]", field, i), "%s has host bits set and meant the whole network: %s", r, p.Masked())
			r = p.Masked().String()
		}
		if from, to, ok := strings.Cut(r, "-"); ok {
			r = strings.TrimSpace(from) + "-" + strings.TrimSpace(to)
		}
		out = append(out, r)
	}
	return out
}
