package migrate

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// State is where a change-over stands, read from the cluster each time anew: so it can be stopped and taken up again at
// any moment, by anybody.
type State struct {
	// Missing says what is not there of Belfry itself: "CustomResourceDefinitions", "a ready controller", "a speaker on n3".
	Missing []string
	// Blocked are Services that would lose their address or their announcement, each with why.
	Blocked []string
	// Secrets and Objects of the Result that are not there yet.
	Secrets []Secret
	Pools   []string // pools and what needs nothing else: profiles, communities
	L2      []string // L2Advertisements
	BGP     []string // BGPAdvertisements and BGPPeers; also peers that select nodes which have not changed over
	// Giving are those of the Pools that give addresses unasked. Shut are pools that are to, and are there, and do not yet: a
	// Service whose address is in a pool that comes later must not be given another one before.
	Giving, Shut []string
	// Controller tells whether the other system's controller is to run; Stopping, that a Pod of it is left all the same.
	Controller, Stopping bool
	// Foreign are Services whose addresses Belfry has not adopted; Silent are those that its speakers do not announce on layer 2.
	Foreign, Silent []string
	Nodes           []Node
	// Guarded tells that BGPPeers still select only nodes that have changed over.
	Guarded bool
	// Retired tells that the other system's speaker can run nowhere any more.
	Retired bool
	// Patched tells that its DaemonSets are not as they were before; Rolling, that their Pods are not all as they say.
	Patched, Rolling bool
	// Stray are nodes on which the other system's speaker never ran and that still have sessions of ours.
	Stray []string
}

// Node is where one node stands, on which the other system's speaker runs or ran.
type Node struct {
	Name string
	// Left: the other system's speaker is kept away from the node. Running: it runs there all the same, still.
	Left, Running bool
	// Settling: the other system's speaker has not been ready for long enough to have told its routers.
	Settling bool
	// Selected: our BGPPeers select the node. Talking: our speaker there has sessions, still.
	Selected, Talking bool
	// Waiting says which of our sessions on the node are not up yet, or which routes are not sent; "" is none.
	Waiting string
	// Labelled: the node has labels of the change-over.
	Labelled bool
}

// between tells whether neither system tells the routers of the node's addresses, or soon will not.
func (n Node) between() bool {
	return !n.Running && (!n.Selected || n.Waiting != "") || n.Running && n.Left
}

// rank puts nodes that are on their way before all others, so that no second one sets out, and after them those whose old
// speaker has just started: they carry nothing yet.
func rank(a, b Node) int { return a.turn() - b.turn() }

func (n Node) turn() int {
	switch {
	case n.between():
		return 0
	case n.Running && n.Settling:
		return 1
	}
	return 2
}

// Want adds an object of ours that is not there yet.
func (s *State) Want(o *unstructured.Unstructured) {
	title := o.GetKind() + " " + o.GetName()
	switch o.GetKind() {
	case "L2Advertisement":
		s.L2 = append(s.L2, title)
	case "BGPAdvertisement", "BGPPeer":
		s.BGP = append(s.BGP, title)
	default:
		s.Pools = append(s.Pools, title)
		if gives(o) {
			s.Giving = append(s.Giving, title)
		}
	}
}

// gives tells whether the object is a pool that gives addresses to Services which ask for none in particular.
func gives(o *unstructured.Unstructured) bool {
	auto, said, _ := unstructured.NestedBool(o.Object, "spec", "autoAssign")
	return o.GetKind() == "IPAddressPool" && (auto || !said)
}

// Shut returns a copy of a pool that gives nothing unasked.
func Shut(pool *unstructured.Unstructured) *unstructured.Unstructured {
	out := pool.DeepCopy()
	spec, _, _ := unstructured.NestedMap(out.Object, "spec")
	if spec == nil {
		spec = map[string]any{}
	}
	spec["autoAssign"] = false
	out.Object["spec"] = spec
	return out
}

// There adds an object of ours that is there, as it is and as it is to be.
func (s *State) There(have, want *unstructured.Unstructured) {
	if gives(want) && !gives(have) {
		s.Shut = append(s.Shut, want.GetKind()+" "+want.GetName())
	}
}
