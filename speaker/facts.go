package speaker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// facts is what a node alone knows and the other speakers must hear. It travels by gossip only, as JSON. Speakers of two
// versions read each other's: fields may be added, none may change its type or its meaning.
type facts struct {
	Interfaces []plan.Interface `json:"interfaces"`
	Dataplane  plan.Dataplane   `json:"dataplane,omitempty"`
	BGP        bgpFacts         `json:"bgp,omitzero"`
}

func factsOf(interfaces []l2.Interface, dataplane plan.Dataplane) facts {
	f := facts{Interfaces: make([]plan.Interface, len(interfaces)), Dataplane: dataplane}
	for i, n := range interfaces {
		f.Interfaces[i] = plan.Interface{
			Name: n.Name, Up: n.Up, IPv4: n.HasIPv4(), IPv6: n.LinkLocal.IsValid(), Prefixes: subnets(n.Prefixes),
		}
	}
	return f
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

func (f facts) encode() ([]byte, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encoding facts: %w", err)
	}
	return b, nil
}

func decodeFacts(b []byte) (facts, error) {
	var f facts
	if err := json.Unmarshal(b, &f); err != nil {
		return facts{}, fmt.Errorf("decoding facts: %w", err)
	}
	return f, nil
}

// book keeps the last facts of every node, so that each version of them is decoded once. It outlives a node's absence:
// when a speaker that was taken for dead is back, the others agree with it at once, not when its facts have come again.
type book map[string]page

type page struct {
	raw   []byte
	facts facts
}

// read returns what is known of a node whose speaker now tells raw, nil while that has not arrived. Of facts that cannot
// be decoded it returns the error once; the node has none until they change.
func (b book) read(node string, raw []byte) (facts, error) {
	p, known := b[node]
	if raw == nil || known && bytes.Equal(p.raw, raw) {
		return p.facts, nil
	}
	f, err := decodeFacts(raw)
	b[node] = page{raw, f}
	return f, err
}

// keep forgets the nodes that are not in the cluster any more.
func (b book) keep(nodes map[string]bool) {
	for name := range b {
		if !nodes[name] {
			delete(b, name)
		}
	}
}
