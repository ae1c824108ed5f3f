package migrate

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ciliumBGP reads Cilium's three BGP kinds together: a cluster config names peer configs, those select advertisements.
func ciliumBGP(r *Result, all []*unstructured.Unstructured) {
	of := func(kind string) (out []source) {
		for _, o := range all {
			if o.GroupVersionKind().Group == "cilium.io" && o.GetKind() == kind {
				out = append(out, source{o.DeepCopy(), r, title(o)})
			}
		}
		return out
	}
	configs := of("CiliumBGPPeerConfig")
	for _, cluster := range of("CiliumBGPClusterConfig") {
		instances, _, _ := unstructured.NestedSlice(cluster.Object, "spec", "bgpInstances")
		for _, instance := range objects(instances) {
			peers, _ := instance["peers"].([]any)
			for _, peer := range objects(peers) {
				cluster.ciliumPeer(instance, peer, configs)
			}
		}
	}
	for _, a := range of("CiliumBGPAdvertisement") {
		entries, _, _ := unstructured.NestedSlice(a.Object, "spec", "advertisements")
		for i, e := range objects(entries) {
			a.ciliumAdvertisement(i, e)
		}
	}
}

func (s source) ciliumPeer(instance, peer map[string]any, configs []source) {
	s.others("bgpInstances."+text(instance["name"])+".", instance, "name", "localASN", "peers")
	s.others("peers."+text(peer["name"])+".", peer, "name", "peerASN", "peerAddress", "peerConfigRef", "autoDiscovery")
	name := s.GetName() + "-" + text(instance["name"]) + "-" + text(peer["name"])
	spec := map[string]any{"myASN": integer(instance["localASN"]), "peerASN": integer(peer["peerASN"]), "peerAddress": text(peer["peerAddress"])}
	if selector, ok, _ := unstructured.NestedMap(s.Object, "spec", "nodeSelector"); ok {
		spec["nodeSelectors"] = []any{selector}
	}
	if integer(peer["peerASN"]) == 0 {
		delete(spec, "peerASN")
		spec["dynamicASN"] = "external"
		s.say(Changed, "peers."+text(peer["name"])+".peerASN", "none is given: any other ASN than ours is accepted; say dynamicASN: internal for a router of ours")
	}
	if spec["peerAddress"] == "" {
		delete(spec, "peerAddress")
		spec["autoDiscovery"] = "DefaultGateway"
	}
	ref, _, _ := unstructured.NestedString(peer, "peerConfigRef", "name")
	if i := slices.IndexFunc(configs, func(c source) bool { return c.GetName() == ref }); i >= 0 {
		configs[i].ciliumSettings(spec)
	} else if ref != "" {
		s.say(Changed, "peers."+text(peer["name"])+".peerConfigRef", "there is no CiliumBGPPeerConfig %s: the defaults are used", ref)
	}
	s.put(s.name, "BGPPeer", name, s.GetLabels(), spec)
}

// ciliumSettings adds what a peer config says.
func (s source) ciliumSettings(spec map[string]any) {
	for _, t := range []struct{ from, to string }{{"holdTimeSeconds", "holdTime"}, {"keepAliveTimeSeconds", "keepaliveTime"}, {"connectRetryTimeSeconds", "connectTime"}} {
		if n, ok, _ := unstructured.NestedFieldNoCopy(s.Object, "spec", "timers", t.from); ok {
			spec[t.to] = (time.Duration(integer(n)) * time.Second).String()
		}
	}
	if on, _, _ := unstructured.NestedBool(s.Object, "spec", "gracefulRestart", "enabled"); on {
		spec["enableGracefulRestart"] = true
		if n, ok, _ := unstructured.NestedFieldNoCopy(s.Object, "spec", "gracefulRestart", "restartTimeSeconds"); ok {
			spec["gracefulRestartTime"] = (time.Duration(integer(n)) * time.Second).String()
		}
	}
	if ttl := integer(s.spec()["ebgpMultihop"]); ttl > 1 && integer(spec["myASN"]) != integer(spec["peerASN"]) {
		spec["ebgpMultiHop"], spec["ebgpMultiHopTTL"] = true, ttl
	}
	if port, ok, _ := unstructured.NestedFieldNoCopy(s.Object, "spec", "transport", "peerPort"); ok {
		spec["peerPort"] = integer(port)
	}
	if secret := text(s.spec()["authSecretRef"]); secret != "" {
		spec["passwordSecret"] = map[string]any{"name": secret}
		s.secret("kube-system", secret)
		s.say(Rewritten, "spec.authSecretRef", "the Secret kube-system/%s is to be copied into Belfry's namespace, the only one that it is read from", secret)
	}
	families, _ := s.spec()["families"].([]any)
	var kept []any
	for _, f := range objects(families) {
		switch text(f["afi"]) {
		case "ipv4":
			kept = append(kept, "IPv4")
		case "ipv6":
			kept = append(kept, "IPv6")
		}
	}
	if len(kept) > 0 {
		spec["families"] = kept
	}
	for i, f := range objects(families) {
		if safi := text(f["safi"]); safi != "" && safi != "unicast" {
			s.say(Lost, fmt.Sprintf("spec.families[%d].safi", i), "Belfry announces unicast routes only, not %s", safi)
		}
	}
	transport, _, _ := unstructured.NestedMap(s.Object, "spec", "transport")
	s.others("spec.transport.", transport, "peerPort")
	s.lost("timers", "gracefulRestart", "ebgpMultihop", "transport", "authSecretRef", "families")
}

// others notes the fields of a part of the source that are not among those known.
func (s source) others(prefix string, fields map[string]any, known ...string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			s.say(Lost, prefix+name, "has no counterpart")
		}
	}
}

func (s source) ciliumAdvertisement(i int, e map[string]any) {
	field := fmt.Sprintf("spec.advertisements[%d]", i)
	if kind := text(e["advertisementType"]); kind != "Service" {
		s.say(Lost, field, "Belfry announces addresses of Services only, not %s", kind)
		return
	}
	addresses, _, _ := unstructured.NestedStringSlice(e, "service", "addresses")
	if !slices.Contains(addresses, "LoadBalancerIP") {
		s.say(Lost, field, "Belfry announces load balancer addresses only")
		return
	}
	if len(addresses) > 1 {
		s.say(Lost, field+".service.addresses", "of %v Belfry announces LoadBalancerIP only", addresses)
	}
	spec := map[string]any{}
	if selector, ok, _ := unstructured.NestedMap(e, "selector"); ok && !everything(selector) {
		spec["serviceSelectors"] = []any{selector}
	}
	for from, to := range map[string]string{"aggregationLengthIPv4": "aggregationLength", "aggregationLengthIPv6": "aggregationLengthV6"} {
		if n, ok, _ := unstructured.NestedFieldNoCopy(e, "service", from); ok {
			spec[to] = integer(n)
		}
	}
	if n, ok, _ := unstructured.NestedFieldNoCopy(e, "attributes", "localPreference"); ok {
		spec["localPref"] = integer(n)
	}
	var communities []any
	for _, kind := range []string{"standard", "wellKnown", "large"} {
		list, _, _ := unstructured.NestedStringSlice(e, "attributes", "communities", kind)
		for _, c := range list {
			if kind == "large" {
				c = "large:" + c
			}
			communities = append(communities, c)
		}
	}
	if len(communities) > 0 {
		spec["communities"] = communities
	}
	s.say(Changed, field, "goes to all peers; where peers are told different things, name them in peers or peerSelectors")
	name := s.GetName()
	if i > 0 {
		name = fmt.Sprintf("%s-%d", name, i+1)
	}
	s.put(s.name, "BGPAdvertisement", name, s.GetLabels(), spec)
}

// everything tells whether a selector is the way in which Cilium's users select all Services: a label that none has.
func everything(selector map[string]any) bool {
	expressions, _ := selector["matchExpressions"].([]any)
	labels, _ := selector["matchLabels"].(map[string]any)
	if len(labels) > 0 || len(expressions) != 1 {
		return len(labels) == 0 && len(expressions) == 0
	}
	e := objects(expressions)
	return len(e) == 1 && text(e[0]["operator"]) == "NotIn"
}
