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
		good = append(good, v.announcement(&e, plan.Service{Service: parsed, Endpoints: s.Endpoints}, a, parsed.PoolOf(i)))
	}
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
	advs := v.advertisements(e, a, pool)
	v.pods(e, s)
	owner, reason, message := v.elected(s.Key, a)
	rows := v.nodeRows(s, a, pool, owner)
	if owner == "" && advs && s.Endpoints.Any() {
		e.broken("nodes", reason, message, rows...)
		return ""
	}
	if owner == "" {
		return ""
	}
	e.ok("nodes", fmt.Sprintf("%d of %d can announce %s; %s does", eligible(rows), len(rows), a, owner), rows...)
	v.announcer(e, a, owner)
	return fmt.Sprintf("%s is announced by node %s", a, owner)
}

func (v *View) advertisements(e *Explanation, a netip.Addr, pool string) bool {
	var names []string
	for _, adv := range v.Snapshot.L2Advertisements {
		if adv.SelectsPool(pool) {
			names = append(names, "L2Advertisement "+adv.Name)
		}
	}
	if names == nil {
		e.broken("advertisement", plan.ReasonNoAdvertisement, fmt.Sprintf("no advertisement selects pool %q, which %s is from", pool, a))
		return false
	}
	e.ok("advertisement", fmt.Sprintf("%s of pool %s: %s", a, pool, strings.Join(names, ", ")))
	return true
}

// pods says once where they are.
func (v *View) pods(e *Explanation, s plan.Service) {
	if slices.ContainsFunc(e.Links, func(l Link) bool { return l.Name == "pods" }) {
		return
	}
	switch {
	case !s.Endpoints.Any():
		e.broken("pods", plan.ReasonNoEndpoints, "no pod of the Service is ready")
	case s.Endpoints.Anywhere:
		e.ok("pods", "endpoints without a node: they count for every node")
	default:
		policy := "Cluster"
		if s.Local {
			policy = "Local"
		}
		e.ok("pods", fmt.Sprintf("ready on %s; externalTrafficPolicy %s", atMost(s.Endpoints.Nodes), policy))
	}
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
	switch says := v.Announcers(a); {
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
