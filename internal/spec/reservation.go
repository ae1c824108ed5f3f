package spec

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Reservation is a claim to addresses that outlives the Services that use them.
type Reservation struct {
	Key             types.NamespacedName
	UID             types.UID
	Created         time.Time
	Families        []Family // of which it wants an address each; those of Addresses when there are some
	Pool            string   // take addresses of this pool only
	Addresses       []netip.Addr
	ServiceName     string // the Service that takes the addresses without asking
	Labels          Labels
	NamespaceLabels labels.Set
	Held            []netip.Addr // addresses in its status
	HeldSince       time.Time    // when the Allocated condition became true; zero when it is not
	Pools           []string     // pools of Held, in that order
}

// ParseReservation reads an IPReservation, all but the labels of its namespace. The CRD refuses what does not parse.
func ParseReservation(o *v1beta1.IPReservation) Reservation {
	r := Reservation{
		Key:         types.NamespacedName{Namespace: o.Namespace, Name: o.Name},
		UID:         o.UID,
		Created:     o.CreationTimestamp.Time,
		Families:    reservedFamilies(o.Spec.Families),
		Pool:        o.Spec.Pool,
		ServiceName: o.Spec.ServiceName,
		Labels:      NewLabels(o.Labels),
		Pools:       o.Status.Pools,
	}
	for _, s := range o.Spec.Addresses {
		if a, err := parseAddr(string(s)); err == nil && !slices.Contains(r.Addresses, a) {
			r.Addresses = append(r.Addresses, a)
		}
	}
	for _, s := range o.Status.Addresses {
		if a, err := parseAddr(s); err == nil {
			r.Held = append(r.Held, a)
		}
	}
	if c := meta.FindStatusCondition(o.Status.Conditions, v1beta1.ConditionReserved); c != nil && c.Status == "True" {
		r.HeldSince = c.LastTransitionTime.Time
	}
	return r
}

func reservedFamilies(list []v1beta1.IPFamily) (families []Family) {
	for _, f := range list {
		if f == "IPv6" {
			families = append(families, IPv6)
			continue
		}
		families = append(families, IPv4)
	}
	if families == nil {
		return []Family{IPv4}
	}
	return families
}
