package speaker

import (
	"context"
	"net/netip"
	"time"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// apply hands the plan to the engines, and keeps and logs what they truly do.
func (p *passer) apply(ctx context.Context, should plan.Plan) error {
	p.desired = desired(should)
	running, err := p.announcer.Apply(ctx, p.desired)
	if err != nil {
		return err
	}
	p.rivals.hear(running.Others, time.Now())
	p.metrics.addresses.Set(float64(len(running.Addresses)))
	p.logChanges(p.running, running)
	p.running = running
	return nil
}

func desired(p plan.Plan) l2.Desired {
	d := l2.Desired{Entries: make(map[netip.Addr]l2.Entry, len(p.L2))}
	for a, interfaces := range p.L2 {
		d.Entries[a] = l2.Entry{Interfaces: interfaces}
	}
	return d
}

func (p *passer) logChanges(was, is l2.Running) {
	if gained := without(is.Addresses, was.Addresses); gained != nil {
		p.o.Log.Info("Announcing", "address", gained, "node", p.o.Node)
	}
	if lost := without(was.Addresses, is.Addresses); lost != nil {
		p.o.Log.Info("No longer announcing", "address", lost, "node", p.o.Node)
	}
	for a, problem := range is.Problems {
		if was.Problems[a] != problem {
			p.o.Log.Info("Cannot announce", "address", a, "node", p.o.Node, "reason", problem)
		}
	}
}

// without lists, as ranges, the addresses that are in one map and not in the other.
func without[V any](in, notIn map[netip.Addr]V) []string {
	var left []netip.Addr
	for a := range in {
		if _, ok := notIn[a]; !ok {
			left = append(left, a)
		}
	}
	return ranges(left)
}

func ranges(addrs []netip.Addr) []string {
	var out []string
	for _, r := range spec.RangesOf(addrs) {
		out = append(out, r.String())
	}
	return out
}
