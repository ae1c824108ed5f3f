package controllers

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// speakerFacts is what speakers say, and all else that is not a Service's own.
type speakerFacts struct {
	config  *spec.Snapshot
	nodes   []plan.Node
	counted map[string]*v1beta1.SpeakerStatus
	owners  map[netip.Addr]owner
}

// hear takes over what there is besides the Services.
func (a *announcer) hear(ctx context.Context) error {
	conf, err := configOf(ctx, a.cache)
	if err != nil {
		return err
	}
	var nodes corev1.NodeList
	var pods corev1.PodList
	var statuses v1beta1.SpeakerStatusList
	for l, o := range map[client.ObjectList][]client.ListOption{
		&nodes: nil, &statuses: nil,
		&pods: {client.InNamespace(a.namespace), client.MatchingLabels(kube.SpeakerPodLabels())},
	} {
		if err := a.cache.List(ctx, l, append(o, client.UnsafeDisableDeepCopy)...); err != nil {
			return fmt.Errorf("listing %T: %w", l, err)
		}
	}
	ready := readySpeakers(nodes.Items, pods.Items)
	counted := counting(statuses.Items, ready)
	a.facts = speakerFacts{counted: map[string]*v1beta1.SpeakerStatus{}}
	routers, err := bgpConfigOf(ctx, a.cache)
	if err != nil {
		return err
	}
	conf.BGPPeers, conf.BGPAdvertisements = routers.BGPPeers, routers.BGPAdvertisements
	conf.Communities, conf.BFDProfiles = routers.Communities, routers.BFDProfiles
	a.facts.config, _ = spec.Parse(conf)
	for _, s := range counted {
		a.facts.counted[s.Name] = s
	}
	if a.sorted == nil {
		a.sorted = slices.SortedFunc(maps.Keys(a.holders), netip.Addr.Compare)
	}
	a.facts.owners = ownersOf(a.sorted, counted)
	for i := range nodes.Items {
		a.facts.nodes = append(a.facts.nodes, planNode(&nodes.Items[i], a.facts.counted[nodes.Items[i].Name]))
	}
	slices.SortFunc(a.facts.nodes, func(x, y plan.Node) int { return strings.Compare(x.Name, y.Name) })
	excluded := plan.Settle(a.facts.nodes, a.rules)
	a.hint(hints(a.facts.config.L2Advertisements, a.facts.nodes, excluded))
	return nil
}

// readySpeakers names the nodes that exist and whose speaker Pod is Ready.
func readySpeakers(nodes []corev1.Node, pods []corev1.Pod) map[string]bool {
	exists, ready := map[string]bool{}, map[string]bool{}
	for i := range nodes {
		exists[nodes[i].Name] = true
	}
	for i := range pods {
		for _, c := range pods[i].Status.Conditions {
			if n := pods[i].Spec.NodeName; exists[n] && c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				ready[n] = true
			}
		}
	}
	return ready
}

// planNode joins a Node with what its speaker tells; s is nil when nothing that counts is told.
func planNode(o *corev1.Node, s *v1beta1.SpeakerStatus) plan.Node {
	n := plan.Node{Node: spec.ParseNode(o)}
	if s == nil {
		return n
	}
	n.BGP.Established = establishedIn(s)
	n.Alive, n.Ready, n.Dataplane = true, s.Status.State == "ready", plan.Dataplane(s.Status.Dataplane)
	for _, i := range s.Status.Interfaces {
		p := plan.Interface{Name: i.Name, Up: i.Up}
		for _, subnet := range i.Subnets {
			prefix, err := netip.ParsePrefix(subnet)
			if err != nil {
				continue
			}
			p.Prefixes = append(p.Prefixes, prefix)
			p.IPv4 = p.IPv4 || prefix.Addr().Is4()
			p.IPv6 = p.IPv6 || prefix.Addr().IsLinkLocalUnicast() && prefix.Addr().Is6()
		}
		n.Interfaces = append(n.Interfaces, p)
	}
	return n
}

// outcomes finds what is to be said of these Services, but for what was said of them last.
func (a *announcer) outcomes(ctx context.Context, keys iter.Seq[types.NamespacedName]) (map[types.NamespacedName]announcement, error) {
	out, doubtful := map[types.NamespacedName]announcement{}, keySet{}
	for k := range keys {
		v, there := a.views[k]
		switch {
		case !there || len(v.held) == 0:
			a.forget(k)
			continue
		case !a.plain(v):
			doubtful[k] = struct{}{}
			continue
		}
		is := announcement{v.uid, true, reasonAnnounced, a.announcers(v.held)}
		if was, said := a.last[k]; !said || len(a.since) > 0 || !is.repeats(was) {
			out[k] = is
		}
	}
	if len(doubtful) == 0 {
		return out, nil
	}
	why, routed, err := a.planned(ctx, doubtful)
	if err != nil {
		return nil, err
	}
	for k := range doubtful {
		out[k] = a.judge(k, why, routed)
	}
	return out, nil
}

// plain tells whether every address has an owner and no second Service.
func (a *announcer) plain(v view) bool {
	return !slices.ContainsFunc(v.held, func(ip netip.Addr) bool { return a.facts.owners[ip].node == "" || len(a.holders[ip]) > 1 })
}

// announcers says who announces: one node for all addresses, BGP for all, or each its own. Of what routers are told, nodes
// come and go, and are not named.
func (a *announcer) announcers(held []netip.Addr) string {
	by := func(ip netip.Addr) string {
		if n := a.facts.owners[ip].node; n != "" {
			return "by node " + n
		}
		return announcedByRouters
	}
	first := by(held[0])
	if len(held) == 1 {
		return first
	}
	var each []string
	one := true
	for _, ip := range held {
		one = one && by(ip) == first
		each = append(each, ip.String()+" "+by(ip))
	}
	if one {
		return first
	}
	return strings.Join(each, ", ")
}

// hold is one Service's hold on an address.
type hold struct {
	key  types.NamespacedName
	addr netip.Addr
}

// nobody is no node's name: to plan for it is to ask about all addresses.
const nobody = "-"

// planned asks the plan of the speakers what it says about the addresses of these Services.
func (a *announcer) planned(ctx context.Context, keys keySet) (onLAN map[hold]plan.Withheld, withBGP routed, _ error) {
	all := maps.Clone(keys)
	for k := range keys {
		a.sharers(k, all)
	}
	w := plan.World{Config: a.facts.config}
	for k := range all {
		s, err := a.service(ctx, k)
		if err != nil {
			return nil, nil, err
		}
		if s != nil {
			w.Services = append(w.Services, *s)
		}
	}
	slices.SortFunc(w.Services, func(x, y plan.Service) int { return strings.Compare(x.Key.String(), y.Key.String()) })
	w.Nodes = a.claiming(w.Services)
	why := map[hold]plan.Withheld{}
	for _, x := range plan.Make(w, nobody).Withheld {
		why[hold{x.Service, x.Addr}] = x
	}
	return why, plan.AnnouncedWithBGP(w), nil
}

// claiming returns the nodes with what they claim of these Services' addresses.
func (a *announcer) claiming(services []plan.Service) []plan.Node {
	var held []netip.Addr
	for i := range services {
		held = append(held, services[i].Held...)
	}
	slices.SortFunc(held, netip.Addr.Compare)
	held = slices.Compact(held)
	nodes := slices.Clone(a.facts.nodes)
	for i := range nodes {
		s := a.facts.counted[nodes[i].Name]
		if s == nil {
			continue
		}
		for _, c := range s.Status.L2.Claims {
			among(held, c.Addresses, func(ip netip.Addr) {
				nodes[i].Claims = append(nodes[i].Claims, plan.Claim{Addr: ip, Epoch: uint64(max(c.Epoch, 0))}) // #nosec G115 -- not negative
			})
		}
		slices.SortFunc(nodes[i].Claims, func(x, y plan.Claim) int { return x.Addr.Compare(y.Addr) })
	}
	return nodes
}

// service reads one with its endpoints; nil when it is gone.
func (a *announcer) service(ctx context.Context, k types.NamespacedName) (*plan.Service, error) {
	var s corev1.Service
	err := a.cache.Get(ctx, k, &s)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Service %s: %w", k, err)
	}
	list, err := slicesOf(ctx, a.cache, k)
	if err != nil {
		return nil, err
	}
	return &plan.Service{
		Service: new(spec.ParseService(&s)), Endpoints: spec.ParseEndpoints(list),
		Announced: meta.IsStatusConditionTrue(s.Status.Conditions, v1beta1.ConditionAnnounced),
	}, nil
}

// judge says what is to be said of a Service whose announcement is in doubt.
func (a *announcer) judge(k types.NamespacedName, why map[hold]plan.Withheld, withBGP routed) announcement {
	v := a.views[k]
	is := announcement{uid: v.uid}
	var words []string
	for _, ip := range v.held {
		reason, message := a.lacks(ip, why[hold{k, ip}])
		reason, message = withBGP.lacks(k, ip, reason, message)
		if reason == "" {
			continue
		}
		if is.reason == "" {
			is.reason = reason
		}
		words = append(words, ip.String()+": "+message)
	}
	if words == nil {
		return announcement{v.uid, true, reasonAnnounced, a.announcers(v.held)}
	}
	is.message = strings.Join(words, "; ")
	return is
}

// lacks tells why an address is not announced for a Service, "" when it is.
//
//	the plan names a node    a speaker says that it announces    so it is
//	yes                      yes, that one or another            announced
//	yes                      no                                  what the node tells of its trouble, else not yet
//	no, shared               –                                   as the plan says
//	no                       yes                                 announced: it has yet to fall silent
//	no                       no                                  as the plan says
func (a *announcer) lacks(ip netip.Addr, w plan.Withheld) (spec.Reason, string) {
	announced := a.facts.owners[ip].node != ""
	if w.Owner == "" {
		if announced && len(a.holders[ip]) == 1 || w.Reason == "" && announced {
			return "", ""
		}
		if w.Reason != "" {
			return w.Reason, w.Message
		}
		return reasonNotYet, "it has changed and was not looked at yet"
	}
	if announced {
		return "", ""
	}
	s := a.facts.counted[w.Owner]
	if s == nil {
		return reasonNotYet, "node " + w.Owner + " is to announce it, but its speaker is silent"
	}
	if reason, message := trouble(s, ip); reason != "" {
		return reason, message
	}
	if s.Status.Omitted.L2Addresses > 0 { // it has too many to name them all
		a.facts.owners[ip] = owner{node: w.Owner}
		return "", ""
	}
	return reasonNotYet, "node " + w.Owner + " is to announce it, but its speaker does not say yet that it does"
}
