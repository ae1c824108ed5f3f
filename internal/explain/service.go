package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Service explains why a Service has, or has not, an address that answers.
//
//	type ─ class ─ pools ─ address ─ written ─┬─ advertisement ─ pods ─ nodes ─ announcer     for each address
//	                                          └─ …
func (v *View) Service(key types.NamespacedName) Explanation {
	subject := "Service " + key.String()
	s, ok := v.service(key)
	if !ok {
		return notFound(subject, "Service "+key.Name+" of type LoadBalancer in namespace "+key.Namespace)
	}
	e := Explanation{Subject: subject, name: key.Name + " -n " + key.Namespace}
	if !v.isOurs(&e, s) {
		return e.conclude("")
	}
	parsed := v.parse(s)
	verdict := v.verdicts[key]
	v.pools(&e, parsed, verdict)
	v.address(&e, verdict)
	if len(verdict.Addresses) == 0 {
		v.controller(&e)
		return e.conclude("")
	}
	v.written(&e, s, parsed, verdict)
	if len(parsed.Held) == 0 || !s.announced() {
		return e.conclude("")
	}
	var good []string
	for i, a := range parsed.Held {
		good = append(good, v.announcement(&e, plan.Service{Service: &parsed, Endpoints: s.Endpoints}, a, parsed.PoolOf(i)))
	}
	v.plansLink(&e)
	return e.conclude(strings.Join(good, "; "))
}

func (v *View) isOurs(e *Explanation, s Service) bool {
	if s.Object.Spec.Type != corev1.ServiceTypeLoadBalancer {
		e.broken("type", ReasonNotLoadBalancer, fmt.Sprintf("the Service is of type %s", s.Object.Spec.Type))
		return false
	}
	class := "no class"
	if s.Object.Spec.LoadBalancerClass != nil {
		class = "class " + *s.Object.Spec.LoadBalancerClass
	}
	if !s.Ours {
		e.broken("class", ReasonForeignClass, "the Service has "+class+", which Belfry does not serve here")
		return false
	}
	e.ok("class", "type LoadBalancer, "+class+": Belfry serves it")
	return true
}

func (v *View) address(e *Explanation, verdict alloc.Verdict) {
	switch {
	case !verdict.Allocated:
		e.broken("address", verdict.Reason, verdict.Message)
	case verdict.Reason != alloc.ReasonAllocated:
		e.note("address", verdict.Reason, verdict.Message)
	default:
		e.ok("address", verdict.Message)
	}
}

// controller tells whether somebody is there to act.
func (v *View) controller(e *Explanation) bool {
	c := v.Controller
	if !c.Known || c.Available > 0 {
		return true
	}
	e.broken("controller", ReasonNoController, fmt.Sprintf("none of %d controllers is available", c.Wanted))
	return false
}

// written tells whether the Service's status shows what it should.
func (v *View) written(e *Explanation, s Service, parsed spec.Service, verdict alloc.Verdict) {
	var want []netip.Addr
	for _, a := range verdict.Addresses {
		want = append(want, a.Addr)
	}
	switch {
	case slices.Equal(want, parsed.Held) && (s.announced() || s.Object.DeletionTimestamp != nil):
		e.ok("status", "shows "+joined(want))
		v.controller(e)
	case v.controller(e):
		e.broken("status", ReasonNotWritten, fmt.Sprintf("shows %s, but should show %s", joined(parsed.Held), joined(want)))
	}
}

// announcement explains one address and returns what to say when all is well.
func (v *View) announcement(e *Explanation, s plan.Service, a netip.Addr, pool string) string {
	f := spec.FamilyOf(a)
	l2, bgp := v.advertisements(e, s, a, pool)
	v.pods(e, s, f)
	var good []string
	if bgp {
		good = v.routers(e, s, a, good)
	}
	if l2 {
		good = v.local(e, s, a, pool, good)
	}
	return strings.Join(good, ", ")
}

// local explains what of an address is to be seen on the local network.
func (v *View) local(e *Explanation, s plan.Service, a netip.Addr, pool string, good []string) []string {
	owner, reason, message := v.elected(s.Key, a)
	rows := v.nodeRows(s, a, pool, owner)
	if owner == "" && s.Endpoints.Of(spec.FamilyOf(a)).Any() {
		e.broken("nodes", reason, message, rows...)
		return good
	}
	if owner == "" {
		return good
	}
	e.ok("nodes", fmt.Sprintf("%d of %d can announce %s; %s does", eligible(rows), len(rows), a, owner), rows...)
	v.announcer(e, a, owner)
	return append(good, fmt.Sprintf("%s is announced by node %s", a, owner))
}

// advertisements tells on which ways the address is to be announced.
func (v *View) advertisements(e *Explanation, s plan.Service, a netip.Addr, pool string) (l2, bgp bool) {
	var names []string
	for _, adv := range v.world.AdvertisementsOf(s, pool) {
		l2, names = true, append(names, "L2Advertisement "+adv.Name)
	}
	for _, adv := range v.Snapshot.BGP.Advertisements {
		if adv.SelectsPool(pool, v.Snapshot.PoolLabels[pool]) && adv.SelectsService(s.Labels) {
			bgp, names = true, append(names, "BGPAdvertisement "+adv.Name)
		}
	}
	switch {
	case names != nil:
		e.ok("advertisement", fmt.Sprintf("%s of pool %s: %s", a, pool, strings.Join(names, ", ")))
	case v.advertised(pool) == nil:
		e.broken("advertisement", plan.ReasonNoAdvertisement, fmt.Sprintf("no advertisement selects pool %q, which %s is from", pool, a))
	default:
		e.broken("advertisement", plan.ReasonNoAdvertisement, fmt.Sprintf("the advertisements of pool %q select other Services only: %s", pool, atMost(v.advertised(pool))))
	}
	return l2, bgp
}

// advertised names the advertisements that select a pool.
func (v *View) advertised(pool string) (names []string) {
	for _, adv := range v.Snapshot.L2Of(pool) {
		names = append(names, "L2Advertisement "+adv.Name)
	}
	for _, adv := range v.Snapshot.BGP.Advertisements {
		if adv.SelectsPool(pool, v.Snapshot.PoolLabels[pool]) {
			names = append(names, "BGPAdvertisement "+adv.Name)
		}
	}
	return names
}

// pods says once of each family where they are.
func (v *View) pods(e *Explanation, s plan.Service, f spec.Family) {
	name := "pods"
	if len(s.Families) > 1 {
		name = "pods " + f.String()
	}
	if slices.ContainsFunc(e.Links, func(l Link) bool { return l.Name == name }) {
		return
	}
	switch b := s.Endpoints.Of(f); {
	case !b.Any():
		e.broken(name, plan.ReasonNoEndpoints, noPods(s, f))
	case b.Anywhere:
		e.ok(name, "endpoints without a node: they count for every node")
	default:
		policy := "Cluster"
		if s.Local {
			policy = "Local"
		}
		e.ok(name, fmt.Sprintf("ready on %s; externalTrafficPolicy %s", atMost(b.Nodes), policy))
	}
}

func noPods(s plan.Service, f spec.Family) string {
	if s.Endpoints.IPv4.Any() || s.Endpoints.IPv6.Any() {
		return fmt.Sprintf("no pod of the Service is ready for %s", f)
	}
	return "no pod of the Service is ready"
}

func (v *View) nodeRows(s plan.Service, a netip.Addr, pool, owner string) (rows []Row) {
	for _, c := range v.world.Candidates(s, a, pool) {
		r := Row{Name: c.Node, State: OK, Text: "can announce it"}
		if c.Reason != "" {
			r.State, r.Reason, r.Text = Note, c.Reason, vocabulary()[c.Reason].Means
		}
		if c.Node == owner {
			r.Text = "announces it"
		}
		rows = append(rows, r)
	}
	return rows
}

func eligible(rows []Row) (n int) {
	for _, r := range rows {
		if r.Reason == "" {
			n++
		}
	}
	return n
}

// announcer compares who should announce the address with who says that it does.
func (v *View) announcer(e *Explanation, a netip.Addr, owner string) {
	v.conflicts(e, a)
	reason, hindered := v.hindrance(a, owner)
	switch says := v.Announcers(a); {
	case hindered && !slices.Contains(says, owner):
		e.broken("announcer", reason, fmt.Sprintf("the speaker of %s cannot answer for %s: %s", owner, a, vocabulary()[reason].Means))
	case v.unnamed(owner) > 0 && len(v.announcers(a)) == 0:
		e.note("announcer", ReasonNotAnnounced, fmt.Sprintf("the speaker of %s has too many addresses to name them all: %s may be among the %d ranges that are left out", owner, a, v.unnamed(owner)))
	case len(says) == 1 && says[0] == owner:
		e.ok("announcer", fmt.Sprintf("the speaker of %s says that it answers for %s", owner, a))
	case len(says) == 0:
		e.broken("announcer", ReasonNotAnnounced, fmt.Sprintf("%s should be announced by %s, but its speaker does not say so", a, owner))
	case len(says) == 1:
		e.note("announcer", ReasonAnnouncedElsewhere, fmt.Sprintf("%s is announced by %s; a speaker that starts now would let %s do it", a, says[0], owner))
	default:
		e.broken("announcer", ReasonSeveralAnnounce, fmt.Sprintf("%s is announced by %s", a, atMost(says)))
	}
}

// hindrance returns what the owner's speaker says that keeps it from answering for the address.
func (v *View) hindrance(a netip.Addr, owner string) (spec.Reason, bool) {
	n, _ := v.node(owner)
	if n.Status == nil {
		return "", false
	}
	for _, p := range n.Status.Status.L2.Problems {
		if within(a, p.Addresses) {
			return spec.Reason(p.Reason), true
		}
	}
	return "", false
}

// conflicts tells which other hosts were heard to have the address.
func (v *View) conflicts(e *Explanation, a netip.Addr) {
	for _, n := range v.Nodes {
		if n.Status == nil {
			continue
		}
		for _, c := range n.Status.Status.L2.Conflicts {
			if c.Address == a.String() {
				e.broken("conflict", "Conflict", fmt.Sprintf("another host, %s, has %s too: node %s heard it on %s since %s",
					strings.TrimSpace(c.MAC+" "+c.Node), a, n.Object.Name, c.Interface, stamp(c.Since.Time)))
			}
		}
	}
}

func within(a netip.Addr, list []string) bool {
	return slices.ContainsFunc(list, func(s string) bool {
		r, err := spec.ParseRange(s)
		return err == nil && r.Contains(a)
	})
}

func joined(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "no address"
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// atMost lists no more names than fit into a line.
func atMost(names []string) string {
	if n := len(names); n > 6 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:6], ", "), n-6)
	}
	return strings.Join(names, ", ")
}
