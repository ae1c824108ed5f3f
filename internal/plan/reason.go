package plan

import "github.com/belfry-lb/belfry/internal/spec"

// Reasons for which an address is not announced.
const (
	// ReasonNoAdvertisement: no advertisement selects the pool of the address.
	ReasonNoAdvertisement spec.Reason = "NoAdvertisement"
	// ReasonNoEndpoints: no pod serves the Service.
	ReasonNoEndpoints spec.Reason = "NoEndpoints"
	// ReasonServiceProxy: the Service is served by a proxy of its own instead of kube-proxy.
	ReasonServiceProxy spec.Reason = "ServiceProxyName"
	// ReasonNoNode: no node can announce it; the message counts what keeps each of them from it.
	ReasonNoNode spec.Reason = "NoNode"
	// ReasonSharedElsewhere: the address is shared with a Service of other nodes, one of which announces it.
	ReasonSharedElsewhere spec.Reason = "SharedElsewhere"
	// ReasonOtherNode: another node announces it.
	ReasonOtherNode spec.Reason = "OtherNode"
)

// Reasons for which a node is no candidate for an address.
const (
	// ReasonNotSelected: no advertisement of the address selects the node.
	ReasonNotSelected spec.Reason = "NodeNotSelected"
	// ReasonNoSpeaker: no speaker of the node is seen alive.
	ReasonNoSpeaker spec.Reason = "NoSpeaker"
	// ReasonNodeSilent: other speakers have found that the node does not answer at all.
	ReasonNodeSilent spec.Reason = "NodeSilent"
	// ReasonSpeakerNotReady: the node's speaker is starting, or about to leave.
	ReasonSpeakerNotReady spec.Reason = "SpeakerNotReady"
	// ReasonNodeNotReady: the Node is not Ready, or its network is unavailable.
	ReasonNodeNotReady spec.Reason = "NodeNotReady"
	// ReasonExcluded: the Node is labelled node.kubernetes.io/exclude-from-external-load-balancers.
	ReasonExcluded spec.Reason = "NodeExcluded"
	// ReasonDraining: the Node is being drained.
	ReasonDraining spec.Reason = "NodeDraining"
	// ReasonDataplane: kube-proxy on the node says that it is not healthy.
	ReasonDataplane spec.Reason = "DataplaneUnhealthy"
	// ReasonDataplaneWaiting: kube-proxy on the node, or its rules, are still to come, and another node's are there.
	ReasonDataplaneWaiting spec.Reason = "DataplaneWaiting"
	// ReasonNoLocalEndpoint: externalTrafficPolicy is Local and the node has no pod of the Service.
	ReasonNoLocalEndpoint spec.Reason = "NoLocalEndpoint"
	// ReasonNoInterface: none of the advertisement's interfaces exists on the node, is up and has an address of the family.
	ReasonNoInterface spec.Reason = "NoInterface"
)
