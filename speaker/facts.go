package speaker

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// facts is what a node alone knows and the other speakers must hear. It travels by gossip only, as JSON. Speakers of two
// versions read each other's: fields may be added, none may change its type or its meaning.
type facts struct {
	Interfaces []plan.Interface      `json:"interfaces"`
	Claims     []claims              `json:"claims,omitempty"`
	Ceded      []cessions            `json:"ceded,omitempty"`
	Absent     map[string][]claims   `json:"absent,omitempty"`   // what is remembered of nodes that are away
	Verdicts   map[string]string     `json:"verdicts,omitempty"` // about the nodes that this one probes: liveness.State
	Heard      map[netip.Addr]string `json:"heard,omitempty"`    // nodes that were heard to have addresses of ours
	Steady     bool                  `json:"steady,omitempty"`
	// Starting: these are of a process that does not know yet what it claims. Its state travels on another road, and may be
	// that of the process before.
	Starting  bool           `json:"starting,omitempty"`
	Dataplane plan.Dataplane `json:"dataplane,omitempty"`
	Keys      []string       `json:"keys,omitempty"` // digests of the gossip keys held, the one that encrypts first
	BGP       bgpFacts       `json:"bgp,omitzero"`
}

// claims are those of one kind.
type claims struct {
	Epoch     uint64   `json:"epoch"`
	From      string   `json:"from,omitempty"`
	Fresh     bool     `json:"fresh,omitempty"`
	Addresses []string `json:"addresses"` // as ranges
}

// cessions are addresses left to one node.
type cessions struct {
	To        string   `json:"to"`
	Epoch     uint64   `json:"epoch"`
	Addresses []string `json:"addresses"`
}

func interfacesOf(interfaces []l2.Interface) []plan.Interface {
	out := make([]plan.Interface, len(interfaces))
	for i, n := range interfaces {
		out[i] = plan.Interface{
			Name: n.Name, MAC: n.MAC.String(), Up: n.Up, IPv4: n.HasIPv4(), IPv6: n.LinkLocal.IsValid(), Prefixes: subnets(n.Prefixes),
		}
	}
	return out
}

// subnets drops the host bits: temporary addresses (RFC 8981) come and go, the subnet stays.
func subnets(prefixes []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.Masked()
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}

// told is what others have to hear of a plan.
func (f *facts) told(p plan.Facts) {
	f.Claims, f.Ceded, f.Heard = pack(p.Claims), packCeded(p.Ceded), p.Heard
	if len(p.Absent) > 0 {
		f.Absent = make(map[string][]claims, len(p.Absent))
		for name, list := range p.Absent {
			f.Absent[name] = pack(list)
		}
	}
}

// parties are the nodes that wait for this one's word in a planned move: those that it takes addresses from, and those it
// has left some to.
func (f *facts) parties() (nodes []string) {
	for _, c := range f.Claims {
		if c.From != "" {
			nodes = append(nodes, c.From)
		}
	}
	for _, c := range f.Ceded {
		nodes = append(nodes, c.To)
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

// heard is the other way round.
func (f facts) heard() (p plan.Facts, err error) {
	p.Heard = f.Heard
	if p.Claims, err = unpack(f.Claims); err != nil {
		return p, err
	}
	for _, c := range f.Ceded {
		addrs, err := expand(c.Addresses)
		if err != nil {
			return p, err
		}
		for _, a := range addrs {
			p.Ceded = append(p.Ceded, plan.Cession{Addr: a, To: c.To, Epoch: c.Epoch})
		}
	}
	for name, list := range f.Absent {
		remembered, err := unpack(list)
		if err != nil {
			return p, err
		}
		if p.Absent == nil {
			p.Absent = map[string][]plan.Claim{}
		}
		p.Absent[name] = remembered
	}
	return p, nil
}

func (f facts) encode() ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encoding facts: %w", err)
	}
	return b, nil
}

// heardFacts are facts as they are planned with.
type heardFacts struct {
	facts
	plan plan.Facts
}

func decodeFacts(b []byte) (heardFacts, error) {
	var f facts
	if err := json.Unmarshal(b, &f); err != nil {
		return heardFacts{}, fmt.Errorf("decoding facts: %w", err)
	}
	p, err := f.heard()
	if err != nil {
		return heardFacts{}, fmt.Errorf("decoding facts: %w", err)
	}
	return heardFacts{f, p}, nil
}

// book keeps the last facts of every node, so that each version of them is decoded once. It outlives a node's absence:
// others stand in for a speaker that is away with what it told last.
type book map[string]page

type page struct {
	raw        string
	facts      heardFacts
	interfaces []plan.Interface // the last that were told, if there are none any more
}

// read returns what is known of a node whose speaker now tells raw, nil while that has not arrived. Of facts that cannot
// be decoded it returns the error once; the node has none until they change.
func (b book) read(node string, raw []byte) (heardFacts, error) {
	p, known := b[node]
	if raw == nil || known && p.raw == string(raw) {
		return p.facts, nil
	}
	f, err := decodeFacts(raw)
	if len(f.Interfaces) > 0 {
		p.interfaces = f.Interfaces
	}
	b[node] = page{string(raw), f, p.interfaces}
	return f, err
}

// keep forgets the nodes that are not in the cluster any more.
func (b book) keep(nodes map[string]bool) {
	maps.DeleteFunc(b, func(name string, _ page) bool { return !nodes[name] })
}
