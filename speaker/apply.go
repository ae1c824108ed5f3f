package speaker

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"time"

	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/l2"
)

// apply hands the plan to the engines, and keeps and logs what they truly do. When it returns, this node says nothing any
// more that it should not.
func (p *passer) apply(ctx context.Context, should plan.Plan, nodes []plan.Node) error {
	p.desired = p.wishes(should, nodes)
	running, err := p.announcer.Apply(ctx, p.desired)
	if err != nil {
		return err
	}
	p.rivals.hear(running.Others, time.Now())
	p.metrics.contested.Set(float64(p.rivals.foreign()))
	p.metrics.showForeign(p.rivals.conflicts())
	p.metrics.addresses.Set(float64(len(running.Addresses)))
	p.logChanges(p.running, running)
	p.running = running
	return nil
}

// wishes is the plan in the announcer's words.
func (p *passer) wishes(should plan.Plan, nodes []plan.Node) l2.Desired {
	d := l2.Desired{Entries: make(map[netip.Addr]l2.Entry, len(should.L2)), Stations: stations(nodes, p.o.Node)}
	for a, say := range should.L2 {
		e := l2.Entry{Interfaces: say.Interfaces, Monitor: say.Monitor}
		switch {
		case say.Role == plan.Answer && len(say.Interfaces) > 0: // none would mean all
			e.Probe, e.Generation = say.Probe, p.mind.generation(a, say)
		case say.Role == plan.StandIn:
			e.As = macs(say.As)
		default:
			e.As = map[string]l2.MAC{}
		}
		d.Entries[a] = e
	}
	p.mind.forget(should)
	return d
}

// macs reads what others have told of their interfaces. What cannot be read is left out: there the stand-in stays silent.
func macs(as map[string]string) map[string]l2.MAC {
	out := make(map[string]l2.MAC, len(as))
	for name, text := range as {
		if mac, ok := parseMAC(text); ok {
			out[name] = mac
		}
	}
	return out
}

func parseMAC(s string) (l2.MAC, bool) {
	hw, err := net.ParseMAC(s)
	if err != nil {
		return l2.MAC{}, false
	}
	return l2.MACOf(hw)
}

// stations names the other nodes by the hardware addresses that they speak with.
func stations(nodes []plan.Node, self string) map[l2.MAC]string {
	out := map[l2.MAC]string{}
	for _, n := range nodes {
		for _, i := range n.Interfaces {
			if mac, ok := parseMAC(i.MAC); ok && n.Name != self {
				out[mac] = n.Name
			}
		}
	}
	return out
}

// heldBy adds to what was heard the addresses that are not announced here because another node has them.
func heldBy(heard map[netip.Addr]string, r l2.Running) map[netip.Addr]string {
	out := maps.Clone(heard)
	for a, problem := range r.Problems {
		if node := r.Others[a].Station; problem == l2.ProblemHeld && node != "" {
			if out == nil {
				out = map[netip.Addr]string{}
			}
			out[a] = node
		}
	}
	return out
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
