package spec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Pool is a set of addresses that may be given away.
type Pool struct {
	Name       string
	UID        types.UID
	Created    time.Time
	Ranges     []Range // disjoint, ascending, IPv4 first
	AutoAssign bool

	Exclude         []Range // never handed out, though they are the pool's
	AvoidBuggyIPs   bool    // nor IPv4 addresses that end in .0 or .255
	Disabled        bool    // nothing new is assigned
	Priority        int     // pools with a lower one are tried first; 0: after all others
	Allowed         Allowed
	ReuseCooldown   time.Duration // how long a freed address rests
	MaxPerNamespace int           // addresses that a namespace may hold; 0: any number
	Sharing         Sharing
}

// Allowed says which Services may have addresses of a pool: those whose namespace is named or selected, and that are
// selected themselves. Empty lists let everybody pass.
type Allowed struct {
	Namespaces []string
	Selectors  []labels.Selector // of namespaces
	Services   []labels.Selector
}

// Allows tells whether a Service of this namespace, with these labels, may have an address.
func (a Allowed) Allows(namespace string, ofNamespace labels.Set, ofService Labels) bool {
	in := len(a.Namespaces) == 0 && len(a.Selectors) == 0 || slices.Contains(a.Namespaces, namespace) || anyMatches(a.Selectors, ofNamespace)
	return in && (len(a.Services) == 0 || anyMatches(a.Services, ofService))
}

func anyMatches(selectors []labels.Selector, l labels.Labels) bool {
	return slices.ContainsFunc(selectors, func(s labels.Selector) bool { return s.Matches(l) })
}

// Sharing says which Services may have one address of a pool together, given the same sharing key.
type Sharing uint8

// The three rules of sharing.
const (
	SharingAcrossNamespaces Sharing = iota
	SharingSameNamespace
	SharingNone
)

// Contains tells whether the address belongs to the pool.
func (p Pool) Contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(p.Ranges, a, func(r Range, a netip.Addr) int { return r.From.Compare(a) })
	return found || i > 0 && p.Ranges[i-1].Contains(a)
}

// Has tells whether the pool has addresses of the family, free or not.
func (p Pool) Has(f Family) bool {
	return slices.ContainsFunc(p.Ranges, func(r Range) bool { return r.Family() == f })
}

func parsePool(o *v1beta1.IPAddressPool, unusable []special) (Pool, *Problem) {
	p := Pool{
		Name:            o.Name,
		UID:             o.UID,
		Created:         o.CreationTimestamp.Time,
		AutoAssign:      o.Spec.AutoAssign == nil || *o.Spec.AutoAssign,
		AvoidBuggyIPs:   o.Spec.AvoidBuggyIPs,
		Disabled:        o.Spec.Disabled,
		MaxPerNamespace: int(o.Spec.MaxPerNamespace),
		Sharing:         parseSharing(o.Spec.Sharing),
	}
	if d := o.Spec.ReuseCooldown; d != nil {
		p.ReuseCooldown = max(d.Duration, 0)
	}
	var problem *Problem
	if p.Ranges, problem = parseRanges(o, "addresses", o.Spec.Addresses, unusable); problem != nil {
		return Pool{}, problem
	}
	if p.Exclude, problem = parseRanges(o, "exclude", o.Spec.Exclude, nil); problem != nil {
		return Pool{}, problem
	}
	if a := o.Spec.AllocateTo; a != nil {
		p.Priority = a.Priority
		p.Allowed, problem = parseAllowed(o.Name, a)
	}
	return p, problem
}

func parseRanges(o *v1beta1.IPAddressPool, field string, list []v1beta1.AddressRange, unusable []special) ([]Range, *Problem) {
	var ranges []Range
	for i, s := range list {
		r, err := ParseRange(string(s))
		if err == nil {
			err = checkUsable(r, unusable)
		}
		if err != nil {
			return nil, poolProblem(o.Name, ReasonBadRange, fmt.Sprintf("spec.%s[%d]: %v", field, i, err))
		}
		ranges = append(ranges, r)
	}
	return Merge(ranges), nil
}

func parseAllowed(pool string, a *v1beta1.ServiceAllocation) (Allowed, *Problem) {
	allowed := Allowed{Namespaces: slices.Clone(a.Namespaces)}
	var problem *Problem
	if allowed.Selectors, problem = parseSelectors(pool, "namespaceSelectors", a.NamespaceSelectors); problem == nil {
		allowed.Services, problem = parseSelectors(pool, "serviceSelectors", a.ServiceSelectors)
	}
	return allowed, problem
}

func parseSelectors(pool, field string, list []metav1.LabelSelector) (out []labels.Selector, _ *Problem) {
	for i := range list {
		s, err := metav1.LabelSelectorAsSelector(&list[i])
		if err != nil {
			return nil, poolProblem(pool, ReasonBadSelector, fmt.Sprintf("spec.serviceAllocation.%s[%d]: %v", field, i, err))
		}
		out = append(out, s)
	}
	return out, nil
}

func parseSharing(s v1beta1.Sharing) Sharing {
	switch s {
	case v1beta1.SharingSameNamespace:
		return SharingSameNamespace
	case v1beta1.SharingNone:
		return SharingNone
	}
	return SharingAcrossNamespaces
}

// parsePools leaves out pools that are wrong in themselves and pools that overlap an older one.
func parsePools(objects []v1beta1.IPAddressPool) (pools []Pool, problems []Problem) {
	unusable := specials()
	for i := range objects {
		p, problem := parsePool(&objects[i], unusable)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b Pool) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) })
	kept := pools[:0]
	for _, p := range pools {
		if problem := p.overlap(kept); problem != nil {
			problems = append(problems, *problem)
			continue
		}
		kept = append(kept, p)
	}
	slices.SortFunc(kept, func(a, b Pool) int { return cmp.Compare(a.Name, b.Name) })
	return kept, problems
}

func (p Pool) overlap(older []Pool) *Problem {
	for _, o := range older {
		for _, r := range p.Ranges {
			for _, q := range o.Ranges {
				if r.Overlaps(q) {
					return poolProblem(p.Name, ReasonOverlap, fmt.Sprintf(
						"%s overlaps %s of pool %s, which is older: nothing is assigned from this pool until one of them lets go of it", r, q, o.Name))
				}
			}
		}
	}
	return nil
}

func poolProblem(name string, reason Reason, message string) *Problem {
	return &Problem{Kind: "IPAddressPool", Name: name, Reason: reason, Message: message}
}
