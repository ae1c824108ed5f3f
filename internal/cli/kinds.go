package cli

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// kindNames are the kinds that users name, by the shortest word for each.
func kindNames() map[string]schema.GroupVersionKind {
	own := v1beta1.GroupVersion().WithKind
	return map[string]schema.GroupVersionKind{
		"svc": corev1.SchemeGroupVersion.WithKind("Service"), "node": corev1.SchemeGroupVersion.WithKind("Node"),
		"pool": own("IPAddressPool"), "peer": own("BGPPeer"), "l2adv": own("L2Advertisement"), "bgpadv": own("BGPAdvertisement"),
		"community": own("Community"), "bfdprofile": own("BFDProfile"), "reservation": own("IPReservation"),
	}
}

// What can be explained, and what can be deleted in a plan.
func explainable() []string { return []string{"svc", "ip", "node", "pool", "peer"} }
func deletable() []string {
	return []string{"svc", "pool", "l2adv", "bgpadv", "peer", "community", "bfdprofile", "reservation", "node"}
}

// shortest returns the shortest word for the kind that a user has named, by whatever word kubectl takes too.
func shortest(word string) string {
	switch word = strings.ToLower(word); word {
	case "service", "services":
		return "svc"
	case "address":
		return "ip"
	case "nodes", "no":
		return "node"
	case "pools", "ippool":
		return "pool"
	case "peers":
		return "peer"
	case "ipres":
		return "reservation"
	}
	for short, kind := range kindNames() {
		if full := strings.ToLower(kind.Kind); word == full || word == full+"s" {
			return short
		}
	}
	return word
}

// named reads KIND/NAME, of kinds with a namespace KIND/NAMESPACE/NAME too.
func (a *app) named(arg string, kinds []string) (kind string, key types.NamespacedName, err error) {
	kind, key.Name, _ = strings.Cut(arg, "/")
	kind = shortest(kind)
	if key.Name == "" || !slices.Contains(kinds, kind) {
		last := len(kinds) - 1
		return "", key, fmt.Errorf("%q: write %s/NAME or %s/NAME", arg, strings.Join(kinds[:last], "/NAME, "), kinds[last])
	}
	if kind != "svc" && kind != "reservation" {
		return kind, key, nil
	}
	if namespace, name, both := strings.Cut(key.Name, "/"); both {
		return kind, types.NamespacedName{Namespace: namespace, Name: name}, nil
	}
	key.Namespace, err = a.namespace(true)
	return kind, key, err
}
