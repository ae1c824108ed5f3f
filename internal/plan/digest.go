package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// digestForm begins each digest. Speakers and plugins of several versions meet: whoever changes what goes into a digest
// changes this, so that nobody compares what cannot be compared.
const digestForm = "1-"

// digestBytes of the sum are enough to tell one plan from another by looking at them.
const digestBytes = 8

// Digest sums up what a node's plan is made from, as far as the API server holds it: it changes when the speaker of the node
// has something to do that follows from objects alone.
//
//	configuration   kind, name, UID, generation and labels of every object: these tell one edit from the next
//	its Node        Ready, excluded, draining, cordoned; which L2Advertisements select it, and how much each prefers it
//	its sessions    with which routers, and between which ends
//	its routes      the prefixes that each BGPAdvertisement has the node tell some router of
//
// What speakers tell one another (claims, sessions, probes) is no part of it, and neither is a Service on layer 2, which one
// node announces and names in its status. So no node's digest changes for the sake of a Service, or a label, that makes no
// difference to the node: a SpeakerStatus must not be written by every node for each.
//
// The node is as spec.ParseNode reads it. The Services are those that are announced, and w needs nothing else but its Config.
func Digest(o spec.Objects, w World, node spec.Node) string {
	return digest(o, w.Config, places(w.Services), node)
}

func digest(o spec.Objects, config *spec.Snapshot, services []*Service, node spec.Node) string {
	// Strings and numbers: it cannot fail. Keys of maps are sorted.
	all, _ := json.Marshal([]any{configured(o), outlookOf(config, services, node)})
	sum := sha256.Sum256(all)
	return digestForm + hex.EncodeToString(sum[:digestBytes])
}

// DigestsDiffer tells whether two plans are made from different objects. Of digests in different forms, and where there is
// none, nothing is known.
func DigestsDiffer(a, b string) bool {
	return strings.HasPrefix(a, digestForm) && strings.HasPrefix(b, digestForm) && a != b
}

// edition is what tells an object from its earlier self.
type edition struct {
	Name       string
	UID        types.UID
	Generation int64
	Labels     labels.Set
}

// configured lists the editions of all objects, by kind and name.
func configured(o spec.Objects) [][]edition {
	return [][]edition{
		editions(o.Pools), editions(o.L2Advertisements), editions(o.BGPPeers),
		editions(o.BGPAdvertisements), editions(o.Communities), editions(o.BFDProfiles),
	}
}

func editions[T any, P interface {
	*T
	metav1.Object
}](objects []T) []edition {
	out := make([]edition, len(objects))
	for i := range objects {
		o := P(&objects[i])
		out[i] = edition{o.GetName(), o.GetUID(), o.GetGeneration(), none(o.GetLabels())}
	}
	slices.SortFunc(out, func(a, b edition) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// none makes one of the two ways to have no labels.
func none(l labels.Set) labels.Set {
	if len(l) == 0 {
		return nil
	}
	return l
}

// outlook is what the objects make of one node.
type outlook struct {
	Ready, Excluded, Draining, Cordoned bool

	Weights  map[string]int            // of the L2Advertisements that select it
	Sessions map[string]ends           // by BGPPeer
	Routes   map[string][]netip.Prefix // by BGPAdvertisement, sorted
}

// ends are those of a session, or why there is none.
type ends struct {
	LocalASN, PeerASN                  uint32
	RouterID, Address, Source, Problem string
}

func outlookOf(config *spec.Snapshot, services []*Service, node spec.Node) outlook {
	o := outlook{
		Ready: node.Ready, Excluded: node.Excluded, Draining: node.Draining, Cordoned: node.Cordoned,
		Weights: map[string]int{}, Sessions: map[string]ends{}, Routes: map[string][]netip.Prefix{},
	}
	for _, a := range config.L2Advertisements {
		if a.SelectsNode(node.Labels) {
			o.Weights[a.Name] = a.Weight(node.Labels)
		}
	}
	for _, p := range config.BGP.Peers {
		if p.SelectsNode(node.Labels) {
			o.Sessions[p.Name] = endsOf(p, node)
		}
	}
	for _, a := range heardFrom(config, node) {
		o.Routes[a.Name] = entitled(config, services, a, node.Name)
	}
	return o
}

func endsOf(p spec.Peer, node spec.Node) ends {
	s, problem := p.On(node)
	if problem != nil {
		return ends{Problem: string(problem.Reason)}
	}
	return ends{
		LocalASN: s.LocalASN, PeerASN: s.PeerASN,
		RouterID: s.RouterID.String(), Address: s.Address.String(), Source: s.SourceAddress.String(),
	}
}

// entitled lists the prefixes that an advertisement has a node announce.
func entitled(config *spec.Snapshot, services []*Service, a spec.BGPAdvertisement, node string) []netip.Prefix {
	told := map[netip.Prefix]bool{}
	for _, s := range services {
		if s.ProxyName != "" || !a.SelectsService(s.Labels) {
			continue
		}
		for k, addr := range s.Held {
			pool, f := s.PoolOf(k), spec.FamilyOf(addr)
			if s.servedOn(f, node) && a.SelectsPool(pool, config.PoolLabels[pool]) {
				told[prefix(addr, a.Length(f))] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(told), netip.Prefix.Compare)
}

// heardFrom returns the advertisements that select a node and a router that it is to speak to.
func heardFrom(config *spec.Snapshot, node spec.Node) (out []spec.BGPAdvertisement) {
	for _, a := range config.BGP.Advertisements {
		if a.SelectsNode(node.Labels) && slices.ContainsFunc(config.BGP.Peers, func(p spec.Peer) bool {
			return p.SelectsNode(node.Labels) && a.SelectsPeer(p)
		}) {
			out = append(out, a)
		}
	}
	return out
}
