package spec

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// L2Advertisement says which addresses are announced with ARP and NDP, and from where.
type L2Advertisement struct {
	Name          string
	Created       time.Time
	Pools         []string          // with PoolSelectors: one that fits is enough; both empty: all
	PoolSelectors []labels.Selector // of IPAddressPools
	Services      []labels.Selector // one that matches is enough; empty: all
	Nodes         []labels.Selector // one that matches is enough; empty: all
	Preferred     []Preference
	Interfaces    []string // globs for names (path.Match); empty: all
	Failback      Failback
	Conflicts     ConflictDetection
}

// Preference gives weight to nodes.
type Preference struct {
	Weight int // 1 to 100
	Nodes  labels.Selector
}

// Failback says when an address moves away from a node that is well, because another is preferred or has too few.
type Failback uint8

// The three rules of failback.
const (
	FailbackDelayed Failback = iota // once the other has been ready for a while
	FailbackNever
	FailbackImmediate
)

// String returns the word of the API.
func (f Failback) String() string { return string(failbacks()[f]) }

func failbacks() []v1beta1.Failback {
	return []v1beta1.Failback{v1beta1.FailbackDelayed, v1beta1.FailbackNever, v1beta1.FailbackImmediate}
}

// ConflictDetection says what is done about other hosts that have an address of ours.
type ConflictDetection uint8

// The three rules of conflict detection.
const (
	ConflictProbe   ConflictDetection = iota // ask before the cluster's first announcement, and listen
	ConflictMonitor                          // listen
	ConflictOff
)

// String returns the word of the API.
func (c ConflictDetection) String() string { return string(conflictDetections()[c]) }

func conflictDetections() []v1beta1.ConflictDetection {
	return []v1beta1.ConflictDetection{v1beta1.ConflictProbe, v1beta1.ConflictMonitor, v1beta1.ConflictOff}
}

// SelectsPool tells whether addresses of the pool are announced. Labels are those of the IPAddressPool, nil when it is gone:
// then only advertisements that name it or select all pools go on announcing its addresses.
func (a L2Advertisement) SelectsPool(pool string, l labels.Set) bool {
	return len(a.Pools)+len(a.PoolSelectors) == 0 || slices.Contains(a.Pools, pool) || l != nil && anyMatches(a.PoolSelectors, l)
}

// SelectsService tells whether addresses of a Service with these labels are announced.
func (a L2Advertisement) SelectsService(l Labels) bool {
	return len(a.Services) == 0 || anyMatches(a.Services, l)
}

// SelectsNode tells whether a node with these labels may announce.
func (a L2Advertisement) SelectsNode(l labels.Set) bool {
	return len(a.Nodes) == 0 || anyMatches(a.Nodes, l)
}

// Weight returns how much a node with these labels is preferred, if the advertisement selects it: the sum of the weights of
// all preferences that match. Those of several advertisements that select one address and this node are added.
func (a L2Advertisement) Weight(l labels.Set) (sum int) {
	for _, p := range a.Preferred {
		if p.Nodes.Matches(l) {
			sum += p.Weight
		}
	}
	return sum
}

// SelectsInterface tells whether the advertisement allows to announce on the interface.
func (a L2Advertisement) SelectsInterface(name string) bool {
	return len(a.Interfaces) == 0 || slices.ContainsFunc(a.Interfaces, func(glob string) bool {
		ok, _ := path.Match(glob, name) // the parser has checked the pattern
		return ok || glob == name
	})
}

// Older orders advertisements by age, those of the same age by name. Of several that select one address, the first of this
// order says how failback and conflict detection are done.
func (a L2Advertisement) Older(b L2Advertisement) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

func parseL2(o *v1beta1.L2Advertisement) (L2Advertisement, *Problem) {
	a := L2Advertisement{
		Name:      o.Name,
		Created:   o.CreationTimestamp.Time,
		Pools:     slices.Clone(o.Spec.IPAddressPools),
		Failback:  Failback(max(0, slices.Index(failbacks(), o.Spec.Failback))),                            // #nosec G115 -- one of three
		Conflicts: ConflictDetection(max(0, slices.Index(conflictDetections(), o.Spec.ConflictDetection))), // #nosec G115 -- one of three
	}
	for _, f := range []struct {
		name string
		from []metav1.LabelSelector
		to   *[]labels.Selector
	}{
		{"ipAddressPoolSelectors", o.Spec.IPAddressPoolSelectors, &a.PoolSelectors},
		{"serviceSelectors", o.Spec.ServiceSelectors, &a.Services},
		{"nodeSelectors", o.Spec.NodeSelectors, &a.Nodes},
	} {
		var err error
		if *f.to, err = parseSelectorList(f.from); err != nil {
			return L2Advertisement{}, l2Problem(o.Name, ReasonBadSelector, fmt.Sprintf("spec.%s%v", f.name, err))
		}
	}
	if problem := a.parsePreferred(o); problem != nil {
		return L2Advertisement{}, problem
	}
	return a, a.parseInterfaces(o)
}

// parseSelectorList reads label selectors; an error begins with the index of the one that does not parse.
func parseSelectorList(list []metav1.LabelSelector) (out []labels.Selector, _ error) {
	for i := range list {
		s, err := metav1.LabelSelectorAsSelector(&list[i])
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		out = append(out, s)
	}
	return out, nil
}

func (a *L2Advertisement) parsePreferred(o *v1beta1.L2Advertisement) *Problem {
	for i, p := range o.Spec.PreferredNodeSelectors {
		s, err := metav1.LabelSelectorAsSelector(&p.Preference)
		if err != nil {
			return l2Problem(o.Name, ReasonBadSelector, fmt.Sprintf("spec.preferredNodeSelectors[%d].preference: %v", i, err))
		}
		a.Preferred = append(a.Preferred, Preference{int(p.Weight), s})
	}
	return nil
}

func (a *L2Advertisement) parseInterfaces(o *v1beta1.L2Advertisement) *Problem {
	for i, n := range o.Spec.Interfaces {
		if _, err := path.Match(string(n), ""); err != nil {
			return l2Problem(o.Name, ReasonBadInterface, fmt.Sprintf("spec.interfaces[%d]: %q is no glob: after [ come characters or ranges as in [a-z], then ]", i, n))
		}
		a.Interfaces = append(a.Interfaces, string(n))
	}
	return nil
}

// unknownPools is a hint, not a refusal: the pool may come later, and the advertisement's other pools work meanwhile.
func unknownPools(a L2Advertisement, exists map[string]labels.Set) *Problem {
	var missing []string
	for _, p := range a.Pools {
		if exists[p] == nil {
			missing = append(missing, p)
		}
	}
	if missing == nil {
		return nil
	}
	return l2Problem(a.Name, ReasonUnknownPool, fmt.Sprintf("spec.ipAddressPools: there is no IPAddressPool %s", strings.Join(missing, ", ")))
}

func l2Problem(name string, reason Reason, message string) *Problem {
	return &Problem{Kind: "L2Advertisement", Name: name, Reason: reason, Message: message}
}
