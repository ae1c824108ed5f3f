package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/internal/elect"
	"github.com/belfry-lb/belfry/internal/spec"
)

// fieldKey names a field.
type fieldKey struct {
	pool   string
	family spec.Family
}

// field is the nodes that may announce the addresses of one pool and family, whatever the Service. It is worked out once
// for all Services of the pool, because there are many Services and few pools.
type field struct {
	fieldKey
	advertised bool // some advertisement selects the pool
	runners    []runner
	refused    map[spec.Reason]int // nodes left out, by the first reason
	scratch    []elect.Candidate   // reused from one election to the next
}

// runner is a node that may announce, and where.
type runner struct {
	name       string
	hash       uint64
	interfaces []Interface // allowed and able to, by name
}

func (w World) field(key fieldKey) *field {
	f := &field{fieldKey: key, refused: map[spec.Reason]int{}}
	var advs []spec.L2Advertisement
	for _, a := range w.Config.L2Advertisements {
		if a.SelectsPool(key.pool) {
			advs = append(advs, a)
		}
	}
	f.advertised = len(advs) > 0
	for _, n := range w.Nodes {
		interfaces, reason := n.eligible(advs, key.family)
		if reason != "" {
			f.refused[reason]++
			continue
		}
		f.runners = append(f.runners, runner{n.Name, elect.Hash(n.Name), interfaces})
	}
	return f
}

// candidates returns the runners that can serve the Service. The result is good until the next call.
func (f *field) candidates(s Service, a netip.Addr) []elect.Candidate {
	f.scratch = f.scratch[:0]
	for _, r := range f.runners {
		if CanServe(s, f.family, r.name) {
			f.scratch = append(f.scratch, elect.Candidate{Node: r.name, Hash: r.hash, InSubnet: r.inSubnet(a)})
		}
	}
	return f.scratch
}

func (r runner) inSubnet(a netip.Addr) bool {
	return slices.ContainsFunc(r.interfaces, func(i Interface) bool { return i.inSubnet(a) })
}

// interfaces names the interfaces on which the node announces.
func (f *field) interfaces(node string) []string {
	i := slices.IndexFunc(f.runners, func(r runner) bool { return r.name == node })
	names := make([]string, len(f.runners[i].interfaces))
	for j, n := range f.runners[i].interfaces {
		names[j] = n.Name
	}
	return names
}

// refusals counts what keeps each node from the Service: "2 NodeNotReady, 1 NoInterface", the commonest first.
func (f *field) refusals(s Service) string {
	refused := maps.Clone(f.refused)
	for _, r := range f.runners {
		if !CanServe(s, f.family, r.name) {
			refused[ReasonNoLocalEndpoint]++
		}
	}
	if len(refused) == 0 {
		return "there are no nodes"
	}
	reasons := slices.SortedFunc(maps.Keys(refused), func(a, b spec.Reason) int {
		return cmp.Or(refused[b]-refused[a], cmp.Compare(a, b))
	})
	words := make([]string, len(reasons))
	for i, r := range reasons {
		words[i] = fmt.Sprintf("%d %s", refused[r], r)
	}
	return strings.Join(words, ", ")
}
