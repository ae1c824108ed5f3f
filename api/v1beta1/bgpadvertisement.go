package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClientIPAffinity says how addresses of Services with sessionAffinity: ClientIP are announced.
//
// +kubebuilder:validation:Enum=single;ecmp
type ClientIPAffinity string

// The two ways.
const (
	// ClientIPAffinitySingle: one node is preferred by all routers, the others stand by.
	ClientIPAffinitySingle ClientIPAffinity = "single"
	// ClientIPAffinityECMP: all nodes alike, for routers that choose a path by the source address alone.
	ClientIPAffinityECMP ClientIPAffinity = "ecmp"
)

// LinkBandwidth is a form of the link-bandwidth community.
//
// +kubebuilder:validation:Enum=transitive;nonTransitive
type LinkBandwidth string

// The two forms.
const (
	// LinkBandwidthTransitive: routers pass it on to other ASes.
	LinkBandwidthTransitive LinkBandwidth = "transitive"
	// LinkBandwidthNonTransitive: it stays within an AS.
	LinkBandwidthNonTransitive LinkBandwidth = "nonTransitive"
)

// BGPAdvertisementSpec says which addresses are announced with BGP, from which nodes, to which routers, and how.
//
// +kubebuilder:validation:XValidation:rule="!has(self.linkBandwidth) || (has(self.weightByEndpoints) && self.weightByEndpoints)",message="linkBandwidth needs weightByEndpoints"
type BGPAdvertisementSpec struct {
	// IPAddressPools names the pools whose addresses are announced, besides those that ipAddressPoolSelectors select.
	// Both empty: all pools.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	// +listType=set
	IPAddressPools []string `json:"ipAddressPools,omitempty"`
	// IPAddressPoolSelectors select pools by their labels, besides those that ipAddressPools names.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	IPAddressPoolSelectors []metav1.LabelSelector `json:"ipAddressPoolSelectors,omitempty"`
	// ServiceSelectors choose Services by their labels; one that matches is enough. Empty: all Services of the pools.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`
	// NodeSelectors choose the nodes that announce; a node that matches one of them is chosen. Empty: all nodes.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`
	// Peers names the BGPPeers that are told, besides those that peerSelectors select. Both empty: all.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	// +listType=set
	Peers []string `json:"peers,omitempty"`
	// PeerSelectors select BGPPeers by their labels, besides those that peers names.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	PeerSelectors []metav1.LabelSelector `json:"peerSelectors,omitempty"`

	// AggregationLength is the prefix length to which IPv4 addresses are rolled up. The aggregate is announced while at
	// least one of its addresses is in use on the node.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	// +kubebuilder:default=32
	// +optional
	AggregationLength *int32 `json:"aggregationLength,omitempty"`
	// AggregationLengthV6 is the same for IPv6.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	// +kubebuilder:default=128
	// +optional
	AggregationLengthV6 *int32 `json:"aggregationLengthV6,omitempty"`
	// AggregateOnly: where addresses are rolled up, only the aggregate is announced. false announces each address too.
	//
	// +kubebuilder:default=true
	// +optional
	AggregateOnly *bool `json:"aggregateOnly,omitempty"`

	// LocalPref is the local preference, which counts on iBGP only: the higher wins. 0: not set, which is 100.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	LocalPref int64 `json:"localPref,omitempty"`
	// MED is the multi-exit discriminator: of paths from one AS the lower wins.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	MED *int64 `json:"med,omitempty"`
	// ASPathPrepend is how many times more our ASN is put into the AS path, which makes the path less liked. It counts on
	// eBGP only.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=64
	// +optional
	ASPathPrepend int32 `json:"asPathPrepend,omitempty"`
	// Communities to attach: standard ("64500:100"), large ("large:64500:1:2"), extended ("rt:64500:100", "soo:64500:100",
	// "ext:" and 16 hexadecimal digits), well-known ("no-export", "no-advertise", "local-as", "no-peer", "blackhole",
	// "graceful-shutdown") or the names of aliases from Community objects. With an alias that nobody defines, the
	// advertisement announces nothing.
	//
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	// +listType=set
	Communities []string `json:"communities,omitempty"`

	// WeightByEndpoints attaches a link-bandwidth community in proportion to the ready endpoints that a Service with
	// externalTrafficPolicy: Local has on the node, so that routers spread traffic evenly over pods.
	//
	// +optional
	WeightByEndpoints bool `json:"weightByEndpoints,omitempty"`
	// LinkBandwidth is the form of that community. Without it: transitive on eBGP, nonTransitive on iBGP.
	//
	// +optional
	LinkBandwidth LinkBandwidth `json:"linkBandwidth,omitempty"`

	// ClientIPAffinity says how addresses of Services with sessionAffinity: ClientIP are announced. single: one node is
	// preferred by all routers, because each node remembers its own clients only. ecmp: all nodes alike, for routers that
	// choose a path by the source address alone.
	//
	// +kubebuilder:default=single
	// +optional
	ClientIPAffinity ClientIPAffinity `json:"clientIPAffinity,omitempty"`

	// DiscardUnused refuses packets from outside to addresses and ports of the announced prefixes that no Service has,
	// instead of sending them back to the router in a loop.
	//
	// +optional
	DiscardUnused bool `json:"discardUnused,omitempty"`
}

// BGPAdvertisementStatus tells whether the advertisement is in use.
type BGPAdvertisementStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BGPAdvertisement announces the addresses of pools to routers with BGP: every node that can serve an address tells them.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=bgpadv,categories=belfry
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.ipAddressPools`
// +kubebuilder:printcolumn:name="Peers",type=string,JSONPath=`.spec.peers`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPAdvertisement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec BGPAdvertisementSpec `json:"spec,omitempty"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status BGPAdvertisementStatus `json:"status,omitempty"`
}

// BGPAdvertisementList is a list of advertisements.
//
// +kubebuilder:object:root=true
type BGPAdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPAdvertisement `json:"items"`
}
