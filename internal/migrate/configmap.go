package migrate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// configMap reads the ConfigMaps that configured MetalLB before 0.13, FRR beside it, and kube-vip.
func configMap(s source) {
	data, _, _ := unstructured.NestedStringMap(s.Object, "data")
	switch {
	case data["config"] != "" && strings.Contains(data["config"], "address-pools"):
		s.legacy("data.config", data["config"])
	case s.GetName() == "bgpextras":
		s.say(Lost, "data.extras", "raw FRR configuration has no counterpart")
	case s.GetName() == "kubevip":
		s.kubeVip(data)
	}
}

// legacyPeer names fields of peers as they were, and are.
func legacyPeer() map[string]string {
	return map[string]string{
		"my-asn": "myASN", "peer-asn": "peerASN", "peer-address": "peerAddress", "source-address": "sourceAddress",
		"peer-port": "peerPort", "hold-time": "holdTime", "keepalive-time": "keepaliveTime", "router-id": "routerID",
		"node-selectors": "nodeSelectors", "password": "password", "bfd-profile": "bfdProfile", "ebgp-multihop": "ebgpMultiHop",
	}
}

func legacyBFD() map[string]string {
	return map[string]string{
		"receive-interval": "receiveInterval", "transmit-interval": "transmitInterval", "detect-multiplier": "detectMultiplier",
		"echo-interval": "echoInterval", "echo-mode": "echoMode", "passive-mode": "passiveMode", "minimum-ttl": "minimumTtl",
	}
}

// legacy reads the configuration of the time before 0.13, found at a field of the source.
func (s source) legacy(at, config string) {
	var c struct {
		Peers       []map[string]any  `json:"peers"`
		Communities map[string]string `json:"bgp-communities"`
		BFD         []map[string]any  `json:"bfd-profiles"`
		Pools       []map[string]any  `json:"address-pools"`
	}
	var all map[string]any
	if err := errors.Join(yaml.Unmarshal([]byte(config), &c), yaml.Unmarshal([]byte(config), &all)); err != nil {
		s.say(Unreadable, at, "no YAML: %v", err)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains([]string{"peers", "bgp-communities", "bfd-profiles", "address-pools"}, key) {
			s.say(Lost, at+"."+key, "has no counterpart")
		}
	}
	for i, p := range c.Peers {
		s.as("BGPPeer", fmt.Sprintf("peer-%d", i+1), fmt.Sprintf("%s.peers[%d]", at, i), p, legacyPeer(), bgpPeer)
	}
	for i, p := range c.BFD {
		s.as("BFDProfile", text(p["name"]), fmt.Sprintf("%s.bfd-profiles[%d]", at, i), p, legacyBFD(), bfdProfile)
	}
	if len(c.Communities) > 0 {
		var list []any
		for _, name := range slices.Sorted(maps.Keys(c.Communities)) {
			list = append(list, map[string]any{"name": name, "value": c.Communities[name]})
		}
		s.read("Community", "communities", map[string]any{"communities": list}, community)
	}
	for i, p := range c.Pools {
		s.legacyPool(fmt.Sprintf("%s.address-pools[%d]", at, i), p)
	}
}

func (s source) legacyPool(field string, p map[string]any) {
	name := text(p["name"])
	for _, key := range slices.Sorted(maps.Keys(p)) {
		if !slices.Contains([]string{"name", "protocol", "addresses", "auto-assign", "avoid-buggy-ips", "bgp-advertisements"}, key) {
			s.say(Lost, field+"."+key, "has no counterpart")
		}
	}
	spec := map[string]any{"addresses": s.ranges(field+".addresses", texts(p["addresses"]))}
	for from, to := range map[string]string{"auto-assign": "autoAssign", "avoid-buggy-ips": "avoidBuggyIPs"} {
		if p[from] != nil {
			spec[to] = p[from]
		}
	}
	name = s.put(s.name, "IPAddressPool", name, nil, spec)
	ads, _ := p["bgp-advertisements"].([]any)
	s.announce(text(p["protocol"]), name, objects(ads), map[string]string{
		"aggregation-length": "aggregationLength", "aggregation-length-v6": "aggregationLengthV6", "localpref": "localPref",
	})
}

// as renames the fields of an old form and reads the rest as the kind that came after it.
func (s source) as(kind, name, field string, old map[string]any, names map[string]string, read func(source)) {
	spec := map[string]any{}
	for from, v := range old {
		to, known := names[from]
		switch {
		case known:
			spec[to] = v
		case from != "name":
			s.say(Lost, field+"."+from, "has no counterpart")
		}
	}
	if list, ok := spec["nodeSelectors"].([]any); ok {
		spec["nodeSelectors"] = legacySelectors(objects(list))
	}
	s.read(kind, name, spec, read)
}

func legacySelectors(list []map[string]any) []any {
	out := make([]any, len(list))
	for i, o := range list {
		selector := map[string]any{}
		if o["match-labels"] != nil {
			selector["matchLabels"] = o["match-labels"]
		}
		if o["match-expressions"] != nil {
			selector["matchExpressions"] = o["match-expressions"]
		}
		out[i] = selector
	}
	return out
}

// read has a reader read a part of the source as if it were an object of its own.
func (s source) read(kind, name string, spec map[string]any, read func(source)) {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "metallb.io/v1beta1", "kind": kind, "spec": spec}}
	o.SetName(name)
	o.SetNamespace(s.GetNamespace())
	read(source{o, s.Result, s.name + " (" + kind + " " + name + ")"})
}

// kubeVip reads the ranges of kube-vip's cloud provider: for all, or for one namespace.
func (s source) kubeVip(data map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(data)) {
		what, where, _ := strings.Cut(key, "-")
		if what != "cidr" && what != "range" || where == "" {
			s.say(Lost, "data."+key, "has no counterpart")
			continue
		}
		spec := map[string]any{"addresses": s.ranges("data."+key, strings.Split(data[key], ","))}
		name := "kubevip-" + where
		if where != "global" {
			spec["serviceAllocation"] = map[string]any{"namespaces": []any{where}, "priority": int64(1)}
			s.say(Changed, "data."+key, "Services of namespace %s have addresses of this pool first, and of those for all when it is exhausted", where)
		}
		name = s.put(s.name, "IPAddressPool", name, nil, spec)
		s.put(s.name, "L2Advertisement", name, nil, map[string]any{"ipAddressPools": []any{name}})
	}
	s.say(Changed, "", "kube-vip's interface and whether it speaks ARP or BGP are flags of its pods: set them in L2Advertisement or BGPPeer")
}
