package plan

import (
	"cmp"
	"encoding/binary"
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
	advs   string // which of the pool's advertisements, where they do not select all Services
}

// field is the nodes that have to do with the addresses of one pool and family, for Services that the same advertisements
// select. It is worked out once for all of them, because there are many Services and few pools.
type field struct {
	fieldKey
	advertised bool // some advertisement selects the pool
	selected   bool // and the Service
	failback   elect.Failback
	conflicts  spec.ConflictDetection
	runners    []runner                // by place
	refused    map[spec.Reason]int     // nodes that may not acquire, by the first reason
	subnets    map[netip.Prefix]int    // of all runners, numbered
	lengths    []int                   // of these prefixes, distinct
	slates     map[string]*elect.Slate // of all runners, by the subnets that contain the address
	buf        []byte                  // scratch
}

func newField(key fieldKey, advs []spec.L2Advertisement, nodes []Node) *field {
	f := &field{
		fieldKey: key, selected: len(advs) > 0, refused: map[spec.Reason]int{},
		subnets: map[netip.Prefix]int{}, slates: map[string]*elect.Slate{},
	}
	if f.selected { // the oldest one's
		f.failback, f.conflicts = failback(advs[0].Failback), advs[0].Conflicts
	}
	for i, n := range nodes {
		r := n.runner(i, advs, key.family)
		if r.reason != "" {
			f.refused[r.reason]++
		}
		if r.fit != 0 || r.lingers {
			f.number(&r)
			f.runners = append(f.runners, r)
		}
	}
	return f
}

func failback(f spec.Failback) elect.Failback {
	switch f {
	case spec.FailbackNever:
		return elect.Never
	case spec.FailbackImmediate:
		return elect.Immediate
	}
	return elect.Delayed
}

// number gives the runner's subnets their numbers.
func (f *field) number(r *runner) {
	for _, i := range r.interfaces {
		for _, p := range i.Prefixes {
			if !isSubnet(p) || (p.Addr().Is4()) != (f.family == spec.IPv4) {
				continue
			}
			p = p.Masked()
			n, known := f.subnets[p]
			if !known {
				n = len(f.subnets)
				f.subnets[p] = n
				if !slices.Contains(f.lengths, p.Bits()) {
					f.lengths = append(f.lengths, p.Bits())
				}
			}
			r.subnets = append(r.subnets, n)
		}
	}
}

// containing lists the subnets that contain the address.
func (f *field) containing(a netip.Addr) (in []int) {
	for _, bits := range f.lengths {
		if p, err := a.Prefix(bits); err == nil {
			if n, ok := f.subnets[p]; ok {
				in = append(in, n)
			}
		}
	}
	return in
}

// slate returns the candidates for an address of the Service. Those that differ only in the address or in a Service that
// all nodes can serve alike have the same.
func (f *field) slate(s *Service, a netip.Addr) *elect.Slate {
	in := f.containing(a)
	if s.Local && !s.Endpoints.Of(f.family).Anywhere {
		return elect.NewSlate(f.candidates(s, in))
	}
	f.buf = f.buf[:0]
	for _, n := range in {
		f.buf = binary.AppendUvarint(f.buf, uint64(n)) // #nosec G115 -- an index
	}
	slate := f.slates[string(f.buf)]
	if slate == nil {
		slate = elect.NewSlate(f.candidates(s, in))
		f.slates[string(f.buf)] = slate
	}
	return slate
}

func (f *field) candidates(s *Service, in []int) []elect.Candidate {
	var out []elect.Candidate
	for i := range f.runners {
		r := &f.runners[i]
		if r.fit == 0 || !CanServe(*s, f.family, r.name) {
			continue
		}
		within := slices.ContainsFunc(r.subnets, func(n int) bool { return slices.Contains(in, n) })
		out = append(out, elect.Candidate{Node: r.place, Hash: r.hash, Weight: r.weight, InSubnet: within, Fit: r.fit})
	}
	return out
}

// runner returns what the field knows of a node, nil for nothing.
func (f *field) runner(place int) *runner {
	i, ok := slices.BinarySearchFunc(f.runners, place, func(r runner, place int) int { return cmp.Compare(r.place, place) })
	if !ok {
		return nil
	}
	return &f.runners[i]
}

// refusals counts what keeps each node from the Service: "2 NodeNotReady, 1 NoInterface", the commonest first.
func (f *field) refusals(s *Service) string {
	refused := maps.Clone(f.refused)
	for _, r := range f.runners {
		if r.reason == "" && !CanServe(*s, f.family, r.name) {
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
