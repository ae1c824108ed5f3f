package speaker

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// detector is what a pass needs of the probes.
type detector interface {
	SetTargets(map[string]netip.AddrPort)
	Verdicts() map[string]liveness.Verdict
	Changed() <-chan struct{}
}

var _ detector = (*liveness.Detector)(nil)

func (s *Speaker) newDetector(key []byte) (*liveness.Detector, error) {
	d, err := liveness.New(liveness.Options{
		Name: s.o.Node, Bind: s.o.LivenessBind, Key: key, Profile: liveness.Profile(s.o.Failover),
		Log: s.o.Log.WithName("liveness"), Registerer: s.o.Registerer,
	})
	if err != nil {
		return nil, fmt.Errorf("building the liveness detector: %w", err)
	}
	return d, nil
}

// probed lists whom a node probes: in the ring of the members' names each is probed by those that follow it.
func probed(node string, roster []members.Member, port uint16) map[string]netip.AddrPort {
	names := make([]string, len(roster))
	for i, m := range roster {
		names[i] = m.Name
	}
	slices.Sort(names)
	heirs := map[string][][]string{}
	for i, n := range names {
		heirs[n] = [][]string{slices.Concat(names[i+1:], names[:i])}
	}
	targets := map[string]netip.AddrPort{}
	mine := liveness.TargetsOf(node, heirs)
	for _, m := range roster {
		if slices.Contains(mine, m.Name) {
			targets[m.Name] = netip.AddrPortFrom(m.Addr, port)
		}
	}
	return targets
}

// verdictsOf writes what is known of those that are probed, as it is told to the others.
func verdictsOf(d detector) map[string]string {
	var out map[string]string
	for node, v := range d.Verdicts() {
		if v.State == liveness.Unknown {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[node] = v.State.String()
	}
	return out
}
