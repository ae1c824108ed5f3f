package plan

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Plan is what one node should be saying.
type Plan struct {
	// L2 maps each address to answer for with ARP or NDP to the names of the interfaces to answer on, sorted.
	L2 map[netip.Addr][]string
	// Withheld tells why the other addresses are not announced by this node, in the order of the Services.
	Withheld []Withheld
}

// Withheld is an address that this node does not announce, and why.
type Withheld struct {
	Service types.NamespacedName
	Addr    netip.Addr
	Reason  spec.Reason
	Message string
	Owner   string // the node that announces it instead, with ReasonOtherNode
}

// Make plans for one node. Every speaker that sees the same World elects the same owners.
func Make(w World, node string) Plan {
	p := Plan{L2: map[netip.Addr][]string{}}
	fields := map[fieldKey]*field{}
	shared := w.shared()
	for _, s := range w.Services {
		for i, a := range s.Held {
			key := fieldKey{s.PoolOf(i), spec.FamilyOf(a)}
			if fields[key] == nil {
				fields[key] = w.field(key)
			}
			e := fields[key].electFor(s, a, shared[a])
			if e.owner == node {
				p.L2[a] = e.interfaces
				continue
			}
			p.Withheld = append(p.Withheld, e.withheld(s.Key, a))
		}
	}
	return p
}

// election is the outcome for one address: an owner, or the reason why there is none.
type election struct {
	owner      string
	interfaces []string
	reason     spec.Reason
	message    string
}

func (e election) withheld(key types.NamespacedName, a netip.Addr) Withheld {
	if e.owner != "" {
		return Withheld{key, a, ReasonOtherNode, "announced by node " + e.owner, e.owner}
	}
	return Withheld{key, a, e.reason, e.message, ""}
}

// electFor finds the owner of an address as far as one Service goes; g is all that share it, nil when nobody does.
func (f *field) electFor(s Service, a netip.Addr, g *group) election {
	if g == nil {
		return f.elect(s, a)
	}
	return f.share(s, a, g)
}

// elect finds the owner of one address among the nodes of its pool's field.
func (f *field) elect(s Service, a netip.Addr) election {
	switch {
	case s.ProxyName != "":
		return election{reason: ReasonServiceProxy, message: fmt.Sprintf("label %s=%s hands the Service to another proxy", spec.ProxyNameLabel, s.ProxyName)}
	case !f.advertised:
		return election{reason: ReasonNoAdvertisement, message: fmt.Sprintf("no L2Advertisement selects pool %q", f.pool)}
	case !s.Endpoints.Of(f.family).Any():
		return election{reason: ReasonNoEndpoints, message: fmt.Sprintf("the Service has no ready endpoint of %s", f.family)}
	}
	candidates := f.candidates(s, a)
	owner, ok := elect.Owner(a, candidates)
	if !ok {
		return election{reason: ReasonNoNode, message: "no node can announce it: " + f.refusals(s)}
	}
	return election{owner: owner, interfaces: f.interfaces(owner)}
}
