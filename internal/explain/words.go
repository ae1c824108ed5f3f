package explain

import (
	"maps"

	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Words say what a reason means and what to do about it.
type Words struct {
	Means string `json:"means"`
	Do    string `json:"do"` // "Nothing: …" where all is as it should be
}

// WordsFor returns the words for a reason; false for a reason that nobody has put into words.
func WordsFor(r spec.Reason) (Words, bool) {
	w, ok := vocabulary()[r]
	return w, ok
}

// do returns the remedy of a reason.
func do(r spec.Reason) string { return vocabulary()[r].Do }

func vocabulary() map[spec.Reason]Words {
	all := map[spec.Reason]Words{}
	for _, some := range []map[spec.Reason]Words{ofSpec(), ofBGP(), ofAlloc(), ofWishes(), ofPlan(), ofNodes(), ofL2(), ofSessions(), ofOpen(), ofRoutes(), own()} {
		maps.Copy(all, some)
	}
	return all
}

func ofSpec() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		spec.ReasonBadRange: {
			"an entry of spec.addresses or spec.exclude is no CIDR, range or address at which a Service can be reached",
			"Correct the entry that the message names; the pool's holders keep their addresses meanwhile.",
		},
		spec.ReasonOverlap: {
			"two pools hold the same addresses; the older pool has them, the younger one assigns nothing",
			"Take the addresses out of one of the two pools: kubectl edit ippool NAME.",
		},
		spec.ReasonBadSelector: {
			"a label selector does not parse",
			"Correct the selector that the message names.",
		},
		spec.ReasonBadInterface: {
			"an entry of spec.interfaces is no name and no pattern of one",
			"Correct the entry that the message names: eth0, en*, bond[0-3].",
		},
		spec.ReasonBadWish: {
			"an annotation or field of the Service cannot be understood, or contradicts another",
			"Correct or remove the annotation that the message names.",
		},
		spec.ReasonSettingsDiffer: {
			"an older advertisement for the same addresses has other settings, which count",
			"Give both advertisements the same failback and conflictDetection, or let them select different addresses.",
		},
		spec.ReasonUnknownPool: {
			"an advertisement names a pool that does not exist",
			"Correct the name in spec.ipAddressPools, or create the pool.",
		},
	}
}

// ofBGP are the reasons why objects of BGP are refused, or an address is not told to routers.
func ofBGP() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		spec.ReasonIncomplete:         {"a field is missing that the object cannot do without", "Add the field that the message names."},
		spec.ReasonBadValue:           {"a field has a value that cannot be", "Correct the value that the message names."},
		spec.ReasonContradiction:      {"two settings contradict each other", "Correct one of the settings that the message names."},
		spec.ReasonAttributesDiffer:   {"an older advertisement of the same pool to the same peer has other attributes, which count for routes of both", "Give both advertisements the same attributes, or let them select different Services, addresses, nodes or peers by values of one label."},
		spec.ReasonUnknownPeer:        {"an advertisement names a BGPPeer that does not exist", "Correct the name in spec.peers, or create the BGPPeer."},
		spec.ReasonUnknownProfile:     {"a BGPPeer names a BFDProfile that does not exist", "Correct spec.bfdProfile, or create the BFDProfile; without it the path is not watched."},
		spec.ReasonUnknownTemplate:    {"a BGPPeer names a base that does not exist", "Correct spec.base, or create the template."},
		spec.ReasonNodeValue:          {"a Node does not have the label or annotation from which a value of the peer is taken, or it is not understood", "Set the label or annotation that the message names on the Node."},
		spec.ReasonBadCommunity:       {"a community is written wrongly", "Correct the community that the message names: 64512:100, or large:64512:1:2."},
		spec.ReasonUnknownCommunity:   {"an advertisement names a community that no Community object has", "Correct the name, or add it to a Community."},
		spec.ReasonAmbiguousCommunity: {"two Community objects give one name different values", "Rename one of the two."},
		plan.ReasonNoPeer:             {"no BGPPeer of the node is told of the address", "Look at spec.peers of the BGPAdvertisement, and at nodeSelectors and families of the BGPPeers."},
		plan.ReasonNoSession:          {"no node that may announce the address has a session with a router that is to be told", "See why the sessions are not established: kubectl belfry peers."},
		plan.ReasonDuplicatePeer:      {"an older BGPPeer is the same router from the same address", "Delete one of the two BGPPeers."},
		plan.ReasonNoEcho:             {"BFD has no echo function over several hops", "Set echoMode: false in the BFDProfile, or use one without it for this peer."},
		plan.ReasonNoAffinity:         {"clients cannot be kept on one node: no route of the address alone is told", "Add a BGPAdvertisement with aggregationLength 32 (IPv6: 128), or use sessionAffinity: None."},
	}
}

func ofAlloc() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		alloc.ReasonAllocated: {
			"the Service has every address that it asked for",
			"Nothing: this is as it should be.",
		},
		alloc.ReasonPoolGone: {
			"the Service keeps an address that no pool contains any more",
			"Put the address back into a pool, or move the Service: kubectl annotate service --overwrite belfry.dev/reallocate=now NAME.",
		},
		alloc.ReasonOneFamily: {
			"a PreferDualStack Service has one of its two addresses",
			"Add addresses of the missing family to a pool, or set ipFamilyPolicy: SingleStack.",
		},
		alloc.ReasonNoPool: {
			"there is no pool from which the Service could have an address",
			"Create an IPAddressPool, set autoAssign: true on one, or correct the annotation belfry.dev/pool.",
		},
		alloc.ReasonNoFamily: {
			"no pool that might serve the Service hands out addresses of a family that it needs",
			"Add addresses of that family to a pool, or ask for another family with spec.ipFamilies.",
		},
		alloc.ReasonPoolExhausted: {
			"every address that the Service might have is in use",
			"Add addresses to the pool, delete Services that nobody needs, or let Services share an address (belfry.dev/sharing-key).",
		},
		alloc.ReasonResting: {
			"the free addresses rest after their last use (reuseCooldown)",
			"Wait until the time that the message names, add addresses, or shorten reuseCooldown.",
		},
		alloc.ReasonQuotaReached: {
			"the namespace has as many addresses of the pool as it may have (maxPerNamespace)",
			"Delete Services of this namespace, use another pool, or raise maxPerNamespace.",
		},
		alloc.ReasonNotMoved: {
			"the Service is to be moved to other addresses, and there are none; it keeps those it has",
			"Make room in a pool that it may use; the move happens by itself then.",
		},
		alloc.ReasonTerminating: {
			"the Service is being deleted: it keeps what it holds and gets nothing new",
			"Wait for the deletion. If it lasts, look at the Service's finalizers: kubectl get service -o jsonpath={.metadata.finalizers} NAME.",
		},
	}
}

// ofWishes are the reasons why something that a Service asks for by name cannot be had.
func ofWishes() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		alloc.ReasonAddressTaken: {
			"the address belongs to another Service or reservation, which had it first",
			"Ask for another address, delete the other holder, or let both share (the same belfry.dev/sharing-key on both, no port in common).",
		},
		alloc.ReasonWrongFamily: {
			"an address is asked for of a family that the Service does not have",
			"Ask for an address of the Service's family, or add the family: spec.ipFamilies and ipFamilyPolicy.",
		},
		alloc.ReasonNotInPool: {
			"the address that is asked for is in no pool, or not in the pool that is asked for",
			"Add the address to a pool, or ask for one that is in a pool.",
		},
		alloc.ReasonNotAllowed: {
			"the pool is not for Services of this namespace, or with these labels",
			"Change the pool's spec.serviceAllocation, or the labels of the Service or its namespace.",
		},
		alloc.ReasonPoolDisabled: {
			"the pool assigns nothing new (disabled: true)",
			"Set disabled: false on the pool, or ask for another one.",
		},
		alloc.ReasonExcluded: {
			"the address is never handed out: its pool excludes it, or the cluster uses it itself",
			"Ask for another address, or change the pool's exclude or avoidBuggyIPs.",
		},
		alloc.ReasonSharingConflict: {
			"the address belongs to another Service, and the two may not share it",
			"Give the two Services different ports and the same externalTrafficPolicy, or look at the pool's sharing rule.",
		},
		alloc.ReasonNoReservation: {
			"the reservation that is asked for does not exist, or has no address of the family yet",
			"Create the IPReservation in the Service's namespace, or see why it has no address: kubectl get ipres -o wide.",
		},
	}
}

func ofPlan() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		plan.ReasonNoAdvertisement: {
			"no advertisement selects the pool of the address",
			"Create an L2Advertisement or BGPAdvertisement whose ipAddressPools names the pool (or is empty: all pools).",
		},
		plan.ReasonNoEndpoints: {
			"no pod serves the Service",
			"Make a pod of the Service ready: compare spec.selector (kubectl get service NAME -o wide) with the pods' labels, and look why the pods are not ready.",
		},
		plan.ReasonServiceProxy: {
			"the label service.kubernetes.io/service-proxy-name hands the Service to another proxy",
			"Remove the label; a Service with it is not announced.",
		},
		plan.ReasonNoNode: {
			"no node can announce the address",
			"Look at what keeps each node from it, below.",
		},
		plan.ReasonSharedElsewhere: {
			"the address is announced for another Service that shares it, by a node that has no pod of this one",
			"Let pods of both Services run on one node, use externalTrafficPolicy: Cluster, or end the sharing.",
		},
		plan.ReasonOtherNode: {
			"another node announces the address",
			"Nothing: one node answers for each address.",
		},
	}
}

// ofNodes are the reasons why a node is no candidate.
func ofNodes() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		plan.ReasonNodeSilent: {
			"other speakers have found that the node does not answer at all",
			"Look at the node: it has no power, or its network is cut.",
		},
		plan.ReasonDataplane: {
			"kube-proxy on the node says that it is not healthy",
			"Look at kube-proxy on the node: curl 127.0.0.1:10256/healthz there says what it says.",
		},
		plan.ReasonDataplaneWaiting: {
			"kube-proxy on the node has not written its rules yet, or does not run yet",
			"Wait some seconds; if it stays, look at kube-proxy on the node: kubectl logs of its Pod says why it writes no rules.",
		},
		plan.ReasonNotSelected: {
			"no advertisement of the address selects the node",
			"Change nodeSelectors of the advertisement, or the node's labels, if the node should announce.",
		},
		plan.ReasonNoSpeaker: {
			"no speaker of the node is seen alive",
			"Look at the node's speaker Pod: kubectl -n belfry-system get pods -o wide, and at its log.",
		},
		plan.ReasonSpeakerNotReady: {
			"the node's speaker is starting, or about to leave",
			"Wait; if it lasts, read the speaker's log: kubectl -n belfry-system logs -l app.kubernetes.io/component=speaker.",
		},
		plan.ReasonNodeNotReady: {
			"the Node is not Ready, or its network is unavailable",
			"See what the kubelet says: kubectl describe node NODE.",
		},
		plan.ReasonExcluded: {
			"the Node is labelled node.kubernetes.io/exclude-from-external-load-balancers",
			"Remove the label if the node should announce: kubectl label node NODE node.kubernetes.io/exclude-from-external-load-balancers-.",
		},
		plan.ReasonDraining: {
			"the Node is being drained",
			"When the work on the node is done: kubectl belfry undrain NODE.",
		},
		plan.ReasonNoLocalEndpoint: {
			"externalTrafficPolicy is Local and the node has no pod of the Service",
			"Nothing, if the pods are where they should be; else spread them, or use externalTrafficPolicy: Cluster.",
		},
		plan.ReasonNoInterface: {
			"none of the advertisement's interfaces exists on the node, is up and has an address of the family",
			"Compare spec.interfaces with what the node has (kubectl belfry speakers -o wide); IPv4 needs an IPv4 address on the interface, IPv6 a link-local one.",
		},
	}
}

func own() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		ReasonNotFound:        {"there is no such object", "Check the name and the namespace (-n)."},
		ReasonNotLoadBalancer: {"the Service is not of type LoadBalancer", "Set spec.type: LoadBalancer if it is to have an address of its own."},
		ReasonForeignClass: {
			"the Service is of a class that another controller serves",
			"Remove spec.loadBalancerClass (create the Service anew: the field cannot be changed), or set it to Belfry's class.",
		},
		ReasonNoController: {
			"no controller is available to act",
			"Look at the controller: kubectl -n belfry-system get deployment,pods, and at its log.",
		},
		ReasonNotWritten: {
			"the Service's status does not show what the controller should have written by now",
			"Ask again in a moment; if it lasts, read the controller's log: kubectl -n belfry-system logs -l app.kubernetes.io/component=controller.",
		},
		ReasonNotAnnounced: {
			"a speaker should announce the address, and says that it does not",
			"Ask again in a moment; if it lasts, read the log of that node's speaker: another host may have the address.",
		},
		ReasonAnnouncedElsewhere: {
			"another node announces the address than the facts ask for",
			"Ask again in a moment: it may be moving. If it lasts, the speakers do not see the same: kubectl belfry doctor.",
		},
		ReasonSeveralAnnounce: {
			"several nodes say that they announce the address: the speakers do not see each other",
			"Open the members' port (7947 TCP and UDP) between the nodes: kubectl belfry doctor names the pairs.",
		},
		ReasonOtherPlan: {
			"a speaker carries out another plan than the objects ask for",
			"Ask again in a moment; if it lasts, the speaker's view is old: read its log, or restart its Pod.",
		},
		ReasonFree:      {"nobody holds the address", "Nothing: ask for it with the annotation belfry.dev/ips, or leave it."},
		ReasonManual:    {"the pool gives addresses only to those who name it (autoAssign: false)", "Name the pool: annotation belfry.dev/pool, or set autoAssign: true."},
		ReasonLater:     {"the pool would do, but another came first", "Nothing: the order of pools is that of serviceAllocation.priority, then of their names."},
		ReasonOtherPool: {"the Service asks for another pool, or for an address of another", "Nothing, unless the wish is wrong: annotations belfry.dev/pool and belfry.dev/ips."},
	}
}
