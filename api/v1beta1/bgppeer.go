package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeValue says where on each Node a value is found, so that one object serves nodes that differ.
//
// +kubebuilder:validation:XValidation:rule="has(self.nodeLabel) != has(self.nodeAnnotation)",message="give either nodeLabel or nodeAnnotation"
type NodeValue struct {
	// NodeLabel is the key of the Node's label that holds the value.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +optional
	NodeLabel string `json:"nodeLabel,omitempty"`
	// NodeAnnotation is the key of the Node's annotation that holds the value. Labels cannot hold a colon, so IPv6
	// addresses need an annotation.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +optional
	NodeAnnotation string `json:"nodeAnnotation,omitempty"`
}

// DynamicASN accepts a router by whether its ASN is ours.
//
// +kubebuilder:validation:Enum=internal;external
type DynamicASN string

// The two kinds of routers.
const (
	// DynamicASNInternal: the router must have our ASN.
	DynamicASNInternal DynamicASN = "internal"
	// DynamicASNExternal: the router may have any ASN but ours.
	DynamicASNExternal DynamicASN = "external"
)

// AutoDiscovery is a way to find the router.
//
// +kubebuilder:validation:Enum=DefaultGateway
type AutoDiscovery string

// AutoDiscoveryDefaultGateway takes the node's default gateway for the router.
const AutoDiscoveryDefaultGateway AutoDiscovery = "DefaultGateway"

// NextHops are the next hops of all routes told to a router.
type NextHops struct {
	// IPv4 is the next hop of IPv4 routes: an IPv4 address, or an IPv6 one where the router understands that (RFC 8950).
	//
	// +optional
	IPv4 Address `json:"ipv4,omitempty"`
	// IPv6 is the next hop of IPv6 routes.
	//
	// +kubebuilder:validation:XValidation:rule="!isIP(self) || ip(self).family() == 6",message="the next hop of IPv6 routes is an IPv6 address"
	// +optional
	IPv6 Address `json:"ipv6,omitempty"`
}

// BGPPeerSpec says which router to speak to, from which nodes, and how.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.template) && self.template && has(self.base))",message="a template has no base"
// +kubebuilder:validation:XValidation:rule="!(has(self.myASN) && has(self.myASNFrom))",message="give myASN or myASNFrom, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.localASN) && has(self.localASNFrom))",message="give localASN or localASNFrom, not both"
// +kubebuilder:validation:XValidation:rule="(has(self.peerASN) ? 1 : 0) + (has(self.peerASNFrom) ? 1 : 0) + (has(self.dynamicASN) ? 1 : 0) < 2",message="give one of peerASN, peerASNFrom and dynamicASN"
// +kubebuilder:validation:XValidation:rule="(has(self.peerAddress) ? 1 : 0) + (has(self.peerAddressFrom) ? 1 : 0) + (has(self.autoDiscovery) ? 1 : 0) < 2",message="give one of peerAddress, peerAddressFrom and autoDiscovery"
// +kubebuilder:validation:XValidation:rule="!(has(self.autoDiscovery) && has(self.interface))",message="give autoDiscovery or interface, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.interface) && has(self.peerAddress) && isIP(self.peerAddress)) || ip(self.peerAddress).isLinkLocalUnicast()",message="interface goes with a link-local peerAddress, or without any"
// +kubebuilder:validation:XValidation:rule="!(has(self.sourceAddress) && has(self.sourceAddressFrom))",message="give sourceAddress or sourceAddressFrom, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.sourceAddress) && has(self.peerAddress) && isIP(self.sourceAddress) && isIP(self.peerAddress)) || ip(self.sourceAddress).family() == ip(self.peerAddress).family()",message="sourceAddress and peerAddress are of one family"
// +kubebuilder:validation:XValidation:rule="!(has(self.password) && has(self.passwordSecret))",message="give password or passwordSecret, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.families) && has(self.dualStackAddressFamily) && self.dualStackAddressFamily)",message="give families or dualStackAddressFamily, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.ttlSecurityHops) && has(self.ebgpMultiHop) && self.ebgpMultiHop)",message="give ttlSecurityHops or ebgpMultiHop, not both"
// +kubebuilder:validation:XValidation:rule="!(has(self.ebgpMultiHop) && self.ebgpMultiHop && has(self.myASN) && has(self.peerASN)) || self.myASN != self.peerASN || has(self.localASN) || has(self.localASNFrom)",message="ebgpMultiHop is for routers of another AS: those of our own may be any number of hops away"
// +kubebuilder:validation:XValidation:rule="!(has(self.keepaliveTime) && has(self.holdTime)) || duration(self.keepaliveTime) < duration(self.holdTime)",message="keepaliveTime is shorter than holdTime"
// +kubebuilder:validation:XValidation:rule="!has(self.keepaliveTime) || has(self.holdTime) || has(self.base) || duration(self.keepaliveTime) < duration('90s')",message="keepaliveTime is shorter than holdTime, which is 90s unless given"
// +kubebuilder:validation:XValidation:rule="!(has(self.listen) && self.listen && has(self.interface)) || has(self.peerAddress) || has(self.peerAddressFrom)",message="listen needs the router's address"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || has(self.myASN) || has(self.myASNFrom)",message="myASN or myASNFrom is needed, unless a base gives it"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || has(self.peerASN) || has(self.peerASNFrom) || has(self.dynamicASN)",message="peerASN, peerASNFrom or dynamicASN is needed, unless a base gives it"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || has(self.peerAddress) || has(self.peerAddressFrom) || has(self.interface) || has(self.autoDiscovery)",message="peerAddress, peerAddressFrom, interface or autoDiscovery is needed, unless a base gives it"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || has(self.interface) || !(has(self.peerAddress) && isIP(self.peerAddress)) || ip(self.peerAddress).family() == 4 || !ip(self.peerAddress).isLinkLocalUnicast()",message="a link-local peerAddress needs interface"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || !has(self.ebgpMultiHopTTL) || (has(self.ebgpMultiHop) && self.ebgpMultiHop)",message="ebgpMultiHopTTL needs ebgpMultiHop"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || !has(self.gracefulRestartTime) || (has(self.enableGracefulRestart) && self.enableGracefulRestart)",message="gracefulRestartTime needs enableGracefulRestart"
// +kubebuilder:validation:XValidation:rule="(has(self.template) && self.template) || has(self.base) || !(has(self.bfdStrict) && self.bfdStrict) || has(self.bfdProfile)",message="bfdStrict needs bfdProfile"
type BGPPeerSpec struct {
	// MyASN is the ASN of this end.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	MyASN int64 `json:"myASN,omitempty"`
	// MyASNFrom takes myASN from each Node.
	//
	// +optional
	MyASNFrom *NodeValue `json:"myASNFrom,omitempty"`

	// PeerASN is the ASN that the router must have.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	PeerASN int64 `json:"peerASN,omitempty"`
	// PeerASNFrom takes peerASN from each Node.
	//
	// +optional
	PeerASNFrom *NodeValue `json:"peerASNFrom,omitempty"`
	// DynamicASN, in place of peerASN: internal accepts a router with our ASN only, external one with any other.
	//
	// +optional
	DynamicASN DynamicASN `json:"dynamicASN,omitempty"`

	// LocalASN is used towards this router in place of myASN, which it does not get to see then.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +optional
	LocalASN int64 `json:"localASN,omitempty"`
	// LocalASNFrom takes localASN from each Node.
	//
	// +optional
	LocalASNFrom *NodeValue `json:"localASNFrom,omitempty"`

	// PeerAddress of the router. A link-local one needs interface.
	//
	// +optional
	PeerAddress Address `json:"peerAddress,omitempty"`
	// PeerAddressFrom takes peerAddress from each Node.
	//
	// +optional
	PeerAddressFrom *NodeValue `json:"peerAddressFrom,omitempty"`
	// Interface of a link-local peerAddress. Without a peerAddress, the router is the one that advertises itself on this
	// interface (unnumbered BGP); IPv4 routes then have an IPv6 next hop (RFC 8950).
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[^/\s%]+$`
	// +optional
	Interface string `json:"interface,omitempty"`
	// AutoDiscovery finds the router: DefaultGateway is the node's default gateway, of the family of sourceAddress or of
	// families where they say it, otherwise the IPv4 one, or the IPv6 one where there is none.
	//
	// +optional
	AutoDiscovery AutoDiscovery `json:"autoDiscovery,omitempty"`

	// SourceAddress is this end's address; it must be on the node. Without it the routing table decides. Where the router
	// dials (listen), the node's InternalIP stands in for it.
	//
	// +optional
	SourceAddress Address `json:"sourceAddress,omitempty"`
	// SourceAddressFrom takes sourceAddress from each Node.
	//
	// +optional
	SourceAddressFrom *NodeValue `json:"sourceAddressFrom,omitempty"`
	// SourceInterface binds the connection to this interface of the node.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[^/\s%]+$`
	// +optional
	SourceInterface string `json:"sourceInterface,omitempty"`
	// VRFName is the device of the Linux VRF in which the router is.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[^/\s%]+$`
	// +optional
	VRFName string `json:"vrf,omitempty"`
	// PeerPort of the router, 179 unless given. Where the router dials (listen), it is the port of this node.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	PeerPort int32 `json:"peerPort,omitempty"`
	// Listen waits for the router to dial, on TCP port peerPort of the source address, and does not dial itself. Nothing listens
	// beyond the loopback interface unless a peer asks for it.
	//
	// +optional
	Listen *bool `json:"listen,omitempty"`

	// HoldTime, 90s unless given: a router that says nothing for so long is gone. At least 3s, which is dependable.
	// Whole seconds.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('3s') && duration(self) <= duration('65535s') && duration(self).getMilliseconds() % 1000 == 0",messageExpression="'\"%s\" is no hold time: write whole seconds from 3s to 65535s'.format([self])"
	// +optional
	HoldTime *metav1.Duration `json:"holdTime,omitempty"`
	// KeepaliveTime is the pause between signs of life, a third of the hold time unless given. At least 1s.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('65535s')",messageExpression="'\"%s\" is no keepalive time: write at least 1s'.format([self])"
	// +optional
	KeepaliveTime *metav1.Duration `json:"keepaliveTime,omitempty"`
	// ConnectTime is the longest pause between two attempts to connect, and how long one attempt may take. 10s unless given.
	// Whole seconds from 1s to 65535s.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('65535s') && duration(self).getMilliseconds() % 1000 == 0",messageExpression="'\"%s\" is no connect time: write whole seconds from 1s to 65535s'.format([self])"
	// +optional
	ConnectTime *metav1.Duration `json:"connectTime,omitempty"`

	// RouterID is this end's BGP identifier, written like an IPv4 address. Without it each node has one of its own: its first
	// IPv4 InternalIP, or a number made from its name.
	//
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:XValidation:rule="isIP(self) && ip(self).family() == 4 && !ip(self).isUnspecified()",message="a router ID is written like an IPv4 address"
	// +optional
	RouterID string `json:"routerID,omitempty"`

	// NodeSelectors choose the nodes that speak to the router; a node that matches one of them is chosen. Empty: all nodes.
	//
	// +kubebuilder:validation:MaxItems=64
	// +optional
	// +listType=atomic
	NodeSelectors []metav1.LabelSelector `json:"nodeSelectors,omitempty"`

	// Password signs the TCP segments (TCP MD5, RFC 2385). Everybody who may read BGPPeers can read it: prefer
	// passwordSecret.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	// +optional
	Password string `json:"password,omitempty"`
	// PasswordSecret names a Secret in Belfry's own namespace, whose key "password" holds the password. While it is missing,
	// there is no session. Its namespace may be left out, and can be no other.
	//
	// +kubebuilder:validation:XValidation:rule="has(self.name) && self.name.size() > 0 && self.name.size() < 254",message="passwordSecret needs a name"
	// +optional
	PasswordSecret *corev1.SecretReference `json:"passwordSecret,omitempty"`

	// EBGPMultiHop: the router, of another AS, may be several hops away.
	//
	// +optional
	EBGPMultiHop *bool `json:"ebgpMultiHop,omitempty"`
	// EBGPMultiHopTTL is the TTL of packets to such a router, 255 unless given.
	//
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	// +optional
	EBGPMultiHopTTL int32 `json:"ebgpMultiHopTTL,omitempty"`
	// TTLSecurityHops accepts packets of the router only if they come from at most so many hops away (GTSM, RFC 5082): 1 is
	// a neighbour. Both ends must do it.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=254
	// +optional
	TTLSecurityHops int32 `json:"ttlSecurityHops,omitempty"`

	// EnableGracefulRestart asks the router to keep the routes while the speaker restarts (RFC 4724).
	//
	// +optional
	EnableGracefulRestart *bool `json:"enableGracefulRestart,omitempty"`
	// GracefulRestartTime is for how long, 30s unless given; as long is lost when a node dies that no BFD watches. Whole
	// seconds up to 4095s.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('4095s') && duration(self).getMilliseconds() % 1000 == 0",messageExpression="'\"%s\" is no graceful restart time: write whole seconds from 1s to 4095s'.format([self])"
	// +optional
	GracefulRestartTime *metav1.Duration `json:"gracefulRestartTime,omitempty"`

	// Families of the routes that the router is told. Without it: that of the router's address, and both on an unnumbered
	// session.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Families []IPFamily `json:"families,omitempty"`
	// DualStackAddressFamily tells the router routes of both families over the one session.
	//
	// +optional
	DualStackAddressFamily *bool `json:"dualStackAddressFamily,omitempty"`
	// NextHop sets the next hops of the routes. Without it they are this end's addresses.
	//
	// +optional
	NextHop *NextHops `json:"nextHop,omitempty"`

	// BFDProfile names the BFDProfile with which the path to the router is watched.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	BFDProfile string `json:"bfdProfile,omitempty"`
	// BFDStrict holds the session back until BFD is up.
	//
	// +optional
	BFDStrict *bool `json:"bfdStrict,omitempty"`

	// Template makes the object one that others name in base. It is never a session and may leave anything out.
	//
	// +optional
	Template bool `json:"template,omitempty"`
	// Base names a template. Each field that is left out here is taken from it, whole; of fields that stand for one another
	// (peerASN, peerASNFrom and dynamicASN, say) the ones set here replace those of the template.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Base string `json:"base,omitempty"`
}

// BGPPeerStatus tells how the sessions are.
type BGPPeerStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Wanted is the number of nodes that should have a session.
	//
	// +optional
	Wanted int32 `json:"wanted,omitempty"`
	// Established is the number of those that have one.
	//
	// +optional
	Established int32 `json:"established,omitempty"`
	// Sessions is both, for people: "3/3".
	//
	// +optional
	Sessions string `json:"sessions,omitempty"`
	// Conditions: Ready, Established, and Watched where a BFDProfile is named.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BGPPeer is a router that speakers tell about addresses with BGP.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=belfry
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.spec.peerAddress`
// +kubebuilder:printcolumn:name="Interface",type=string,priority=1,JSONPath=`.spec.interface`
// +kubebuilder:printcolumn:name="ASN",type=string,JSONPath=`.spec.peerASN`
// +kubebuilder:printcolumn:name="BFD profile",type=string,priority=1,JSONPath=`.spec.bfdProfile`
// +kubebuilder:printcolumn:name="Base",type=string,priority=1,JSONPath=`.spec.base`
// +kubebuilder:printcolumn:name="Sessions",type=string,JSONPath=`.status.sessions`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Established",type=string,JSONPath=`.status.conditions[?(@.type=="Established")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BGPPeer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BGPPeerSpec `json:"spec"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status BGPPeerStatus `json:"status,omitempty"`
}

// BGPPeerList is a list of routers.
//
// +kubebuilder:object:root=true
type BGPPeerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BGPPeer `json:"items"`
}
