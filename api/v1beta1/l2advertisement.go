package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// InterfaceName is the name of a network interface, or a glob for names: * stands for any characters, ? for one, [a-z] for
// one of these.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="!self.matches('[/\\\\s]')",messageExpression="'\"%s\" has a slash or a space in it: write the name of an interface, as in eth0, or a glob for names, as in en*'.format([self])"
// +kubebuilder:validation:XValidation:rule="self.matches('^([^\\\\[\\\\\\\\]|\\\\\\\\.|\\\\[\\\\^?(([^\\\\]\\\\\\\\^-]|\\\\\\\\.)(-([^\\\\]\\\\\\\\^-]|\\\\\\\\.))?)+\\\\])+$')",messageExpression="'\"%s\" is no glob: after [ come characters or ranges as in [a-z], then ]'.format([self])"
type InterfaceName string

// PreferredNodes makes nodes preferred.
type PreferredNodes struct {
	// Weight of the preference. A node has the sum of the weights of all preferences that match it; those with the highest
	// sum come first.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// Preference selects nodes by their labels.
	Preference metav1.LabelSelector `json:"preference"`
}

// Failback says what becomes of an address when a node could announce it that is preferred to the one that does, or that
// would balance the load.
//
// +kubebuilder:validation:Enum=delayed;never;immediate
type Failback string

// The three rules of failback.
const (
	FailbackDelayed   Failback = "delayed"
	FailbackNever     Failback = "never"
	FailbackImmediate Failback = "immediate"
)

// ConflictDetection says what is done about other hosts that have an address of ours.
//
// +kubebuilder:validation:Enum=probe;monitor;off
type ConflictDetection string

// The three rules of conflict detection.
const (
	ConflictProbe   ConflictDetection = "probe"
	ConflictMonitor ConflictDetection = "monitor"
	ConflictOff     ConflictDetection = "off"
)

// L2AdvertisementSpec says which addresses are announced with ARP and NDP, and from where.
//
// When several advertisements select one address, their nodes are joined and their weights added; each one's interfaces hold
// on the nodes that it selects. Failback and conflictDetection are those of the oldest (of the same age, the first by name).
type L2AdvertisementSpec struct {
	// IPAddressPools names the pools whose addresses are announced, besides those that ipAddressPoolSelectors select.
	// Where both are empty: all pools.
	//
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +optional
	// +listType=set
	IPAddressPools []string `json:"ipAddressPools,omitempty"`

	// IPAddressPoolSelectors select pools by their labels, besides those that ipAddressPools names; one that matches is
	// enough.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	IPAddressPoolSelectors []metav1.LabelSelector `json:"ipAddressPoolSelectors,omitempty"`

	// ServiceSelectors select the Services whose addresses are announced, by their labels; one that matches is enough.
	// Empty: all Services.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`

	// NodeSelectors choose the nodes that may announce; a node that matches one of them is chosen. Empty: all nodes.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// PreferredNodeSelectors prefer nodes among those that may announce: of the nodes with the highest sum of weights one
	// announces, and others when none of these can.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	PreferredNodeSelectors []PreferredNodes `json:"preferredNodeSelectors,omitempty"`

	// Interfaces names the network interfaces to announce on, or gives globs for their names (eth0, en*, bond[0-9]); a node
	// that has none of them is no candidate. Empty: every interface of the node that is not a pod's.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=set
	Interfaces []InterfaceName `json:"interfaces,omitempty"`

	// Failback says when an address moves though the node that announces it is well, because another is preferred or has
	// too few addresses: delayed (once the other has been ready for a while), never, or immediate. Connections through an
	// address end when it moves.
	//
	// +kubebuilder:default=delayed
	// +optional
	Failback Failback `json:"failback,omitempty"`

	// ConflictDetection says what is done about other hosts that have one of the addresses: probe (ask before the cluster's
	// first announcement, stay silent if somebody answers, and report who claims the address later), monitor (announce at
	// once, and report), or off.
	//
	// +kubebuilder:default=probe
	// +optional
	ConflictDetection ConflictDetection `json:"conflictDetection,omitempty"`
}

// L2AdvertisementStatus tells whether the advertisement is in use.
type L2AdvertisementStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Conditions: Ready, and QuickstartNotApplied while it stands where the controller's own advertisement is to be.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// L2Advertisement announces the addresses of pools on the local network: one node answers ARP and NDP for each.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=l2adv,categories=belfry
// +kubebuilder:printcolumn:name="Pools",type=string,JSONPath=`.spec.ipAddressPools`
// +kubebuilder:printcolumn:name="Interfaces",type=string,JSONPath=`.spec.interfaces`
// +kubebuilder:printcolumn:name="Failback",type=string,priority=1,JSONPath=`.spec.failback`
// +kubebuilder:printcolumn:name="Conflicts",type=string,priority=1,JSONPath=`.spec.conflictDetection`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type L2Advertisement struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec L2AdvertisementSpec `json:"spec,omitempty"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status L2AdvertisementStatus `json:"status,omitempty"`
}

// L2AdvertisementList is a list of advertisements.
//
// +kubebuilder:object:root=true
type L2AdvertisementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []L2Advertisement `json:"items"`
}
