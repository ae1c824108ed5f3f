package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SpeakerInterface is a network interface that the speaker may announce on.
type SpeakerInterface struct {
	// Name of the interface, as `ip link` shows it.
	Name string `json:"name"`
	// MAC is the hardware address that answers carry.
	MAC string `json:"mac"`
	// Up is false while the interface has no carrier.
	Up bool `json:"up"`
	// Subnets are the prefixes of the addresses on the interface.
	//
	// +optional
	// +listType=atomic
	Subnets []string `json:"subnets,omitempty"`
}

// SpeakerMembers is how this speaker sees the others.
type SpeakerMembers struct {
	// Alive counts the speakers seen alive, this one and those that restart included.
	Alive int32 `json:"alive"`
	// Missing names the nodes whose speaker Pod exists but which this speaker cannot see, and does not expect back from a
	// restart.
	//
	// +optional
	// +listType=atomic
	Missing []string `json:"missing,omitempty"`
}

// SpeakerClaim is addresses that came to this node together.
type SpeakerClaim struct {
	// Epoch counts the owners of an address: of two speakers that claim one, that with the higher epoch is the newer.
	Epoch int64 `json:"epoch"`
	// Addresses that are claimed; neighbours are joined to ranges.
	//
	// +listType=atomic
	Addresses []string `json:"addresses"`
}

// SpeakerStandIn is addresses that this speaker answers for in the stead of another node, whose speaker is restarting.
type SpeakerStandIn struct {
	// Node that the answers lead to.
	Node string `json:"node"`
	// Addresses answered for; neighbours are joined to ranges.
	//
	// +listType=atomic
	Addresses []string `json:"addresses"`
}

// SpeakerConflict is another host that has an address of ours.
type SpeakerConflict struct {
	Address string `json:"address"`
	// MAC is the other host's hardware address.
	MAC string `json:"mac"`
	// Interface of this node on which it was heard.
	//
	// +optional
	Interface string `json:"interface,omitempty"`
	// Node is the name of the other host, if it is a node of this cluster.
	//
	// +optional
	Node string `json:"node,omitempty"`
	// Since is when it was first heard.
	Since metav1.Time `json:"since"`
}

// SpeakerProblem is addresses that this speaker should answer for and cannot.
type SpeakerProblem struct {
	// Reason in one word.
	Reason string `json:"reason"`
	// Addresses that it holds for; neighbours are joined to ranges.
	//
	// +listType=atomic
	Addresses []string `json:"addresses"`
}

// SpeakerL2 is what the speaker answers for on the local network.
type SpeakerL2 struct {
	// Count of the addresses answered for.
	//
	// +kubebuilder:default=0
	// +optional
	Count int32 `json:"count"`
	// Addresses answered for with ARP or NDP; neighbours are joined to ranges ("192.0.2.10-192.0.2.12").
	//
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
	// Claims are the addresses that the speaker holds against the others, by their epochs.
	//
	// +optional
	// +listType=atomic
	Claims []SpeakerClaim `json:"claims,omitempty"`
	// StandIns are addresses answered for in the stead of nodes whose speaker is restarting.
	//
	// +optional
	// +listType=atomic
	StandIns []SpeakerStandIn `json:"standIns,omitempty"`
	// Conflicts are other hosts that have an address of ours: the newest 50.
	//
	// +optional
	// +listType=atomic
	Conflicts []SpeakerConflict `json:"conflicts,omitempty"`
	// Problems tell which addresses this speaker should answer for and cannot.
	//
	// +optional
	// +listType=atomic
	Problems []SpeakerProblem `json:"problems,omitempty"`
}

// SpeakerOmitted counts what the lists of a status leave out: conflicts after the newest 50, and of any list what would have
// made the status bigger than 256 KiB. Addresses are counted as they are written, a range as one.
type SpeakerOmitted struct {
	// Interfaces that are left out.
	//
	// +optional
	Interfaces int32 `json:"interfaces,omitempty"`
	// MembersMissing is how many names of missing members are left out.
	//
	// +optional
	MembersMissing int32 `json:"membersMissing,omitempty"`
	// L2Addresses is how many ranges of addresses are left out. `l2.count` counts all addresses.
	//
	// +optional
	L2Addresses int32 `json:"l2Addresses,omitempty"`
	// L2Claims is how many ranges of claimed addresses are left out.
	//
	// +optional
	L2Claims int32 `json:"l2Claims,omitempty"`
	// L2StandIns is how many ranges of addresses that are answered for in the stead of others are left out.
	//
	// +optional
	L2StandIns int32 `json:"l2StandIns,omitempty"`
	// L2Conflicts is how many conflicts are left out.
	//
	// +optional
	L2Conflicts int32 `json:"l2Conflicts,omitempty"`
	// L2Problems is how many ranges of addresses that cannot be answered for are left out.
	//
	// +optional
	L2Problems int32 `json:"l2Problems,omitempty"`
	// BGPPeers is how many peers are left out.
	//
	// +optional
	BGPPeers int32 `json:"bgpPeers,omitempty"`
	// Withdrawn is how many UIDs of Services are left out.
	//
	// +optional
	Withdrawn int32 `json:"withdrawn,omitempty"`
}

// SpeakerPlan is the plan that the speaker carries out.
type SpeakerPlan struct {
	// Digest of the objects that the plan was made from, as far as they make a difference to the node: the configuration, the
	// Node, the routes that it should tell. While it is another than that of the objects as they are, the speaker has not
	// heard of a change yet, or cannot carry it out.
	Digest string `json:"digest"`
	// Since is when the speaker of the node began to carry out a plan with this digest.
	Since metav1.Time `json:"since"`
}

// SpeakerStatusStatus carries what only the node knows.
type SpeakerStatusStatus struct {
	// Version of the speaker.
	//
	// +optional
	Version string `json:"version,omitempty"`
	// State of the speaker: starting, ready, restarting or draining.
	//
	// +optional
	State string `json:"state,omitempty"`
	// Dataplane is what kube-proxy on the node says of itself: healthy, unhealthy, waiting (it has not answered since the
	// speaker started, or its rules may be still to come) or unknown (nothing answers).
	//
	// +optional
	Dataplane string `json:"dataplane,omitempty"`
	// Plan that the speaker carries out.
	//
	// +optional
	Plan *SpeakerPlan `json:"plan,omitempty"`
	// Interfaces that the speaker may announce on.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Interfaces []SpeakerInterface `json:"interfaces,omitempty"`
	// Members is how this speaker sees the others.
	//
	// +optional
	Members SpeakerMembers `json:"members,omitempty"`
	// L2 is what the speaker answers for on the local network.
	//
	// +optional
	L2 SpeakerL2 `json:"l2,omitempty"`
	// BGP is how the sessions with routers are.
	//
	// +optional
	BGP SpeakerBGP `json:"bgp,omitempty"`
	// Withdrawn lists the UIDs of Services that are being deleted and about which this speaker is silent. It is written only
	// where the controller uses a finalizer (--service-finalizer), and each stays until the Service is gone.
	//
	// +optional
	// +listType=atomic
	Withdrawn []string `json:"withdrawn,omitempty"`
	// Omitted counts what the lists leave out; nothing is left out where it is not there.
	//
	// +optional
	Omitted SpeakerOmitted `json:"omitted,omitzero"`
	// Conditions: Ready, while the state is ready. Like all the rest it is the word of a speaker that may be dead by now.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SpeakerStatus is written by the speaker of the Node whose name it bears, when something has changed. It counts only while
// that speaker's Pod is Ready and no other speaker misses it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=belfry
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Members",type=integer,JSONPath=`.status.members.alive`
// +kubebuilder:printcolumn:name="L2",type=integer,JSONPath=`.status.l2.count`
// +kubebuilder:printcolumn:name="L2 addresses",type=string,JSONPath=`.status.l2.addresses`
// +kubebuilder:printcolumn:name="Dataplane",type=string,JSONPath=`.status.dataplane`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type SpeakerStatus struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Status SpeakerStatusStatus `json:"status,omitempty"`
}

// SpeakerStatusList is a list of speakers' statuses.
//
// +kubebuilder:object:root=true
type SpeakerStatusList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SpeakerStatus `json:"items"`
}
