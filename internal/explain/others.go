package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Address explains whose an address is and who announces it.
func (v *View) Address(a netip.Addr) Explanation {
	a = a.Unmap()
	if holders := v.holders[a]; len(holders) > 0 {
		e := v.Service(holders[0])
		e.Subject = "address " + a.String()
		if len(holders) > 1 {
			e.Subject += fmt.Sprintf(", shared by %d Services", len(holders))
		}
		var head Explanation
		head.ok("holder", "Service "+keys(holders))
		e.Links = append(head.Links, e.Links...)
		return e
	}
	e := Explanation{Subject: "address " + a.String()}
	for key, r := range v.reserved {
		for _, x := range r.Addresses {
			if x.Addr == a {
				e.ok("holder", fmt.Sprintf("IPReservation %s, of pool %s; no Service uses it", key, x.Pool))
				return e.conclude("reserved, and used by no Service")
			}
		}
	}
	i := slices.IndexFunc(v.Used, func(o spec.Occupied) bool { return o.Contains(a) })
	if i >= 0 {
		e.note("holder", "Excluded", "it is "+v.Used[i].What)
	}
	p := slices.IndexFunc(v.Snapshot.Pools, func(p spec.Pool) bool { return p.Contains(a) })
	switch {
	case p < 0:
		e.broken("pool", "NotInPool", "no pool contains it")
	case i < 0:
		e.note("holder", ReasonFree, "nobody holds it")
		e.ok("pool", "pool "+v.Snapshot.Pools[p].Name+": "+v.room(v.Snapshot.Pools[p]))
	}
	if says := v.Announcers(a); len(says) > 0 {
		e.broken("announcer", ReasonOtherPlan, "still announced by "+atMost(says))
	}
	return e.conclude("nobody holds it")
}

// Pool explains a pool: whether it can be used, how full it is, and who announces its addresses.
func (v *View) Pool(name string) Explanation {
	i := slices.IndexFunc(v.Objects.Pools, func(p v1beta1.IPAddressPool) bool { return p.Name == name })
	if i < 0 {
		return notFound("pool "+name, "IPAddressPool "+name)
	}
	e := Explanation{Subject: "pool " + name, name: name}
	for _, p := range v.Problems {
		if p.Kind == "IPAddressPool" && p.Name == name {
			e.broken("object", p.Reason, p.Message)
		}
	}
	p, ok := v.Snapshot.Pool(name)
	if !ok {
		return e.conclude("")
	}
	e.ok("object", "valid: "+written(v.Objects.Pools[i].Spec.Addresses))
	switch {
	case p.Disabled:
		e.note("assigns", "PoolDisabled", "nothing new")
	case !p.AutoAssign:
		e.note("assigns", ReasonManual, "only to those who name it")
	default:
		e.ok("assigns", "automatically")
	}
	u := v.table.Usage(name)
	if p.Has(spec.IPv4) && u.AvailableIPv4 == 0 || p.Has(spec.IPv6) && u.AvailableIPv6 == 0 {
		e.note("room", "PoolExhausted", v.room(p))
	} else {
		e.ok("room", v.room(p))
	}
	if waiting := v.waiting(name); len(waiting) > 0 {
		e.note("waiting", "", fmt.Sprintf("%d Services lack an address: %s", len(waiting), keys(waiting)))
	}
	if u.Outside > 0 {
		e.note("outside", "PoolGone", fmt.Sprintf("%d addresses are still held that the pool no longer contains", u.Outside))
	}
	v.announcedPool(&e, name)
	return e.conclude("in use: " + v.room(p))
}

func (v *View) announcedPool(e *Explanation, pool string) {
	names := v.advertised(pool)
	if names == nil {
		e.broken("advertisement", plan.ReasonNoAdvertisement, "no advertisement selects the pool: nobody answers for its addresses")
		return
	}
	e.ok("advertisement", strings.Join(names, ", "))
}

// waiting lists the Services that might have an address of the pool and have none.
func (v *View) waiting(pool string) (out []types.NamespacedName) {
	p, _ := v.Snapshot.Pool(pool)
	for _, s := range v.Services {
		key := s.key()
		verdict, ours := v.verdicts[key]
		if want := v.parse(s).WantPool; ours && !verdict.Allocated && (want == pool || want == "" && p.AutoAssign) {
			out = append(out, key)
		}
	}
	slices.SortFunc(out, compareKeys)
	return out
}

// Node explains what a node announces, and what keeps it from announcing.
func (v *View) Node(name string) Explanation {
	n, ok := v.node(name)
	if !ok {
		return notFound("node "+name, "Node "+name)
	}
	e := Explanation{Subject: "node " + name, name: name}
	i := slices.IndexFunc(v.world.Nodes, func(n plan.Node) bool { return n.Name == name })
	v.speakerLink(&e, n, v.world.Nodes[i])
	v.interfacesLink(&e, n)
	v.membersLink(&e, n)
	v.planLink(&e, n)
	v.agreement(&e, n)
	return e.conclude(fmt.Sprintf("can announce; answers for %s", rangesOr(n.Announces(), "nothing")))
}

func (v *View) speakerLink(e *Explanation, n Node, p plan.Node) {
	reason := p.Refusal()
	switch {
	case reason != "" && n.Pod.Message != "":
		e.broken("speaker", reason, vocabulary()[reason].Means+"; "+n.Pod.Message)
	case reason != "":
		e.broken("speaker", reason, vocabulary()[reason].Means)
	default:
		e.ok("speaker", fmt.Sprintf("version %s is ready", n.Status.Status.Version))
	}
}

func (v *View) interfacesLink(e *Explanation, n Node) {
	if n.Status == nil {
		return
	}
	var rows []Row
	up := 0
	for _, i := range n.Status.Status.Interfaces {
		r := Row{Name: i.Name, State: OK, Text: strings.Join(append([]string{i.MAC}, i.Subnets...), " ")}
		if i.Up {
			up++
		} else {
			r.State, r.Reason = Note, "LinkDown"
		}
		rows = append(rows, r)
	}
	left := n.omitted().Interfaces
	if up == 0 && left == 0 {
		e.broken("interfaces", plan.ReasonNoInterface, "no interface is up on which addresses could be announced", rows...)
		return
	}
	e.ok("interfaces", andMore(fmt.Sprintf("%d of %d are up", up, len(rows)), left), rows...)
}

func (v *View) membersLink(e *Explanation, n Node) {
	if n.Status == nil {
		return
	}
	m := n.Status.Status.Members
	if len(m.Missing) > 0 || n.omitted().MembersMissing > 0 {
		e.add(Link{
			Name: "members", State: Note, Reason: plan.ReasonNoSpeaker, Text: andMore("does not see "+atMost(m.Missing), n.omitted().MembersMissing),
			Do: "Open the members' port (7947 TCP and UDP) between these nodes, or look at their speakers.",
		})
		return
	}
	e.ok("members", fmt.Sprintf("sees %d speakers, itself included", m.Alive))
}

// agreement compares what the node's speaker announces with what it should, address by address.
func (v *View) agreement(e *Explanation, n Node) {
	var want []netip.Addr
	for a, owner := range v.owners {
		if owner == n.Object.Name {
			want = append(want, a)
		}
	}
	says, should := n.Announces(), spec.RangesOf(want)
	lacks, extra := spec.Subtract(should, says), spec.Subtract(says, should)
	left := n.omitted().L2Addresses
	if left > 0 {
		lacks = nil // what is left out may be these
	}
	if len(lacks) == 0 && len(extra) == 0 {
		e.ok("announces", andMore(rangesOr(says, "nothing, as it should"), left))
		return
	}
	var parts []string
	if len(lacks) > 0 {
		parts = append(parts, "does not announce "+ranges(lacks)+", which it should")
	}
	if len(extra) > 0 {
		parts = append(parts, "announces "+ranges(extra)+", which a speaker that starts now would leave to others")
	}
	if at := n.lastWrote(); !at.IsZero() {
		parts = append(parts, "so it stands since "+stamp(at))
	}
	e.note("announces", ReasonOtherPlan, strings.Join(parts, "; "))
}

// andMore adds to a text how much a status leaves out of what it tells.
func andMore(text string, left int32) string {
	if left > 0 {
		return fmt.Sprintf("%s; %d more are left out, because the status would be too big", text, left)
	}
	return text
}

// lastWrote returns when the node's speaker last changed what it says; zero where that cannot be seen.
func (n Node) lastWrote() (at time.Time) {
	if n.Status == nil {
		return at
	}
	for _, m := range n.Status.ManagedFields {
		if m.Subresource == "status" && m.Time != nil && m.Time.After(at) {
			at = m.Time.Time
		}
	}
	return at
}

func written(list []v1beta1.AddressRange) string {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = string(r)
	}
	return atMost(names)
}

func keys(list []types.NamespacedName) string {
	names := make([]string, len(list))
	for i, k := range list {
		names[i] = k.String()
	}
	return atMost(names)
}

func ranges(list []spec.Range) string {
	names := make([]string, len(list))
	for i, r := range list {
		names[i] = r.String()
	}
	return atMost(names)
}

func rangesOr(list []spec.Range, none string) string {
	if len(list) == 0 {
		return none
	}
	return ranges(list)
}
