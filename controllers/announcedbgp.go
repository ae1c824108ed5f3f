package controllers

import (
	"net/netip"
	"reflect"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// announcedByRouters stands for the nodes that tell routers of an address.
const announcedByRouters = "BGP"

// routed tells of addresses that are announced with BGP, or are to be, see plan.AnnouncedWithBGP.
type routed map[plan.Hold]plan.Withheld

// lacks tells why an address is not announced for a Service at all, given why it is not on layer 2: "" when one of the two
// does it. Where no L2Advertisement is for the address, the reason is that of BGP.
//
//	layer 2               BGP             the address is
//	announced             –               announced
//	why not               announced       announced
//	no advertisement      why not         not, and BGP says why
//	why not               why not         not, and layer 2 says why
func (r routed) lacks(k types.NamespacedName, ip netip.Addr, reason spec.Reason, message string) (spec.Reason, string) {
	w, selected := r[plan.Hold{Service: k, Addr: ip}]
	switch {
	case !selected || reason == "":
		return reason, message
	case w.Reason == "" || reason == plan.ReasonNoAdvertisement:
		return w.Reason, w.Message
	}
	return reason, message
}

// establishedIn names the peers with which a speaker says that it has a session, sorted.
func establishedIn(s *v1beta1.SpeakerStatus) (names []string) {
	for _, p := range s.Status.BGP.Peers {
		if p.State == v1beta1.SessionEstablished {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// routesAside tells whether a speaker says something else; of its sessions only which are established counts: the rest
// changes with every Service, and says nothing of any.
func routesAside(was, is *v1beta1.SpeakerStatus) bool {
	a, b := was.Status, is.Status
	a.BGP, b.BGP = v1beta1.SpeakerBGP{}, v1beta1.SpeakerBGP{}
	return !reflect.DeepEqual(a, b) || !slices.Equal(establishedIn(was), establishedIn(is))
}
