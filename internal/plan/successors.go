package plan

const (
	// successors of an address are looked for, at most.
	successors = 3
	// samples of a node's addresses tell who will have to do with its end.
	samples = 4
)

// successors names, for some addresses of each node that has or had any, who would be the first to take them over. A node
// whose claims do not stand any more is among them: whether it is really gone must be seen further on.
func (b *board) successors() map[string][][]string {
	out := map[string][][]string{}
	for _, n := range b.nodes {
		if of := b.successorsOf(n); len(of) > 0 {
			out[n.Name] = of
		}
	}
	return out
}

func (b *board) successorsOf(n Node) (out [][]string) {
	for _, c := range n.Claims {
		if len(out) == samples {
			break
		}
		if s := b.seats[c.Addr]; s != nil && s.slate != nil {
			out = append(out, b.names(s.slate.First(c.Addr, successors, b.ledger.place(n.Name))))
		}
	}
	return out
}

func (b *board) names(places []int) []string {
	out := make([]string, len(places))
	for i, p := range places {
		out[i] = b.nodes[p].Name
	}
	return out
}
