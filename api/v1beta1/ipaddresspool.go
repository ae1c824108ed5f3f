package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AddressRange is a CIDR ("192.0.2.0/28"), a range ("192.0.2.10-192.0.2.20") or a single address, IPv4 or IPv6.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=96
// +kubebuilder:validation:XValidation:rule="self.contains('/') ? isCIDR(self) : self.contains('-') ? isIP(self.substring(0, self.indexOf('-')).trim()) && isIP(self.substring(self.indexOf('-') + 1).trim()) : isIP(self)",messageExpression="'\"%s\" is no CIDR, no range and no address: write 192.0.2.0/28, 192.0.2.10-192.0.2.20 or 192.0.2.7'.format([self])"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self) || cidr(self) == cidr(self).masked()",messageExpression="'\"%s\" has host bits set: write %s for the whole network, or %s/%d for the one address'.format([self, string(cidr(self).masked()), string(cidr(self).ip()), cidr(self).ip().family() == 4 ? 32 : 128])"
// +kubebuilder:validation:XValidation:rule="!self.contains('-') || self.contains('.') != self.contains(':')",messageExpression="'\"%s\" mixes IPv4 and IPv6: a range begins and ends in one family'.format([self])"
type AddressRange string

// Sharing says which Services may have one address together.
//
// +kubebuilder:validation:Enum=AcrossNamespaces;SameNamespace;None
type Sharing string

// The three rules of sharing.
const (
	SharingAcrossNamespaces Sharing = "AcrossNamespaces"
	SharingSameNamespace    Sharing = "SameNamespace"
	SharingNone             Sharing = "None"
)

// ServiceAllocation says for which Services a pool is, and when its turn comes.
type ServiceAllocation struct {
	// Priority of the pool: those with a lower number are tried first, those with 0 or without one last. Pools of the same
	// priority are tried in the order of their names.
	//
	// +kubebuilder:validation:Minimum=-2147483648
	// +kubebuilder:validation:Maximum=2147483647
	// +optional
	Priority int `json:"priority,omitempty"`

	// Namespaces whose Services may have addresses of the pool, besides those that namespaceSelectors select.
	//
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	// +optional
	Namespaces []string `json:"namespaces,omitempty"`

	// NamespaceSelectors select namespaces by their labels, besides those that namespaces names; one that matches is enough.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	NamespaceSelectors []metav1.LabelSelector `json:"namespaceSelectors,omitempty"`

	// ServiceSelectors select Services by their labels; one that matches is enough. Where namespaces are given too, both
	// must fit.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	ServiceSelectors []metav1.LabelSelector `json:"serviceSelectors,omitempty"`
}

// IPAddressPoolSpec says which addresses may be given to Services.
type IPAddressPoolSpec struct {
	// Addresses of the pool: CIDRs, ranges and single addresses, IPv4 and IPv6 mixed as you like.
	// Every address of a CIDR is used, the first and the last included.
	//
	// +kubebuilder:validation:items:XValidation:rule="!self.contains('/') || !isCIDR(self) || !self.startsWith('0.') && cidr(self).ip().isGlobalUnicast() && ['127.0.0.1', '169.254.0.1', '224.0.0.1', '255.255.255.255', '::1', 'fe80::1', 'ff00::1'].all(x, !cidr(self).containsIP(x))",messageExpression="'\"%s\" reaches into unspecified, loopback, link-local or multicast addresses, where no Service can be reached'.format([self])"
	// +kubebuilder:validation:items:XValidation:rule="self.contains('/') || [self.substring(0, self.contains('-') ? self.indexOf('-') : size(self)).trim(), self.substring(self.indexOf('-') + 1).trim()].all(x, !isIP(x) || !x.startsWith('0.') && ip(x).isGlobalUnicast())",messageExpression="'\"%s\" reaches into unspecified, loopback, link-local or multicast addresses, where no Service can be reached'.format([self])"
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	Addresses []AddressRange `json:"addresses"`

	// Exclude lists addresses that are never handed out, written like addresses.
	//
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	// +optional
	Exclude []AddressRange `json:"exclude,omitempty"`

	// AutoAssign lets Services that name no pool have addresses of this one.
	//
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`

	// AvoidBuggyIPs leaves out IPv4 addresses that end in .0 or .255, which some old devices do not take for addresses of
	// hosts.
	//
	// +kubebuilder:default=false
	// +optional
	AvoidBuggyIPs bool `json:"avoidBuggyIPs,omitempty"`

	// Disabled keeps the pool from assigning anything new. Who holds an address keeps it.
	//
	// +optional
	Disabled bool `json:"disabled,omitempty"`

	// ServiceAllocation says for which Services the pool is, and when its turn comes. Without it the pool is for all.
	//
	// +optional
	AllocateTo *ServiceAllocation `json:"serviceAllocation,omitempty"`

	// ReuseCooldown is how long a freed address rests before another Service gets it automatically, as in "10m" or "24h".
	// The address that has been free for longest comes first. Without it freed addresses are used again at once.
	//
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+$') && duration(self) >= duration('0s')",messageExpression="'\"%s\" is no duration: write 30s, 10m or 24h'.format([self])"
	// +optional
	ReuseCooldown *metav1.Duration `json:"reuseCooldown,omitempty"`

	// MaxPerNamespace is how many addresses of the pool the Services and reservations of one namespace may hold. A shared
	// address counts once, for the namespace of its eldest holder. Lowering it takes nothing away. 0: any number.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	// +optional
	MaxPerNamespace int32 `json:"maxPerNamespace,omitempty"`

	// Sharing says which Services may have one address together, given the same belfry.dev/sharing-key:
	// AcrossNamespaces (all), SameNamespace, or None.
	//
	// +kubebuilder:default=AcrossNamespaces
	// +optional
	Sharing Sharing `json:"sharing,omitempty"`
}

// FreedAddress is an address that was let go of.
type FreedAddress struct {
	Address string `json:"address"`
	// At is when.
	At metav1.Time `json:"at"`
}

// IPAddressPoolStatus counts what is in use.
type IPAddressPoolStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// AssignedIPv4 is the number of IPv4 addresses of this pool that are held by Services or reserved.
	//
	// +kubebuilder:default=0
	// +optional
	AssignedIPv4 int64 `json:"assignedIPv4"`
	// AssignedIPv6 is the number of IPv6 addresses of this pool that are held by Services or reserved.
	//
	// +kubebuilder:default=0
	// +optional
	AssignedIPv6 int64 `json:"assignedIPv6"`
	// AvailableIPv4 is the number of free IPv4 addresses.
	//
	// +kubebuilder:default=0
	// +optional
	AvailableIPv4 int64 `json:"availableIPv4"`
	// AvailableIPv6 is the number of free IPv6 addresses, 9223372036854775807 where there are more.
	//
	// +kubebuilder:default=0
	// +optional
	AvailableIPv6 int64 `json:"availableIPv6"`
	// Outside is the number of addresses that were assigned from this pool, are still held, and are in no pool any more.
	//
	// +kubebuilder:default=0
	// +optional
	Outside int64 `json:"outside"`

	// Assigned is what is in use, for people: "3", or of a pool with both families "v4 3, v6 1".
	//
	// +optional
	Assigned string `json:"assigned,omitempty"`
	// Available is what is free, for people; "∞" stands for 2⁴⁰ and more.
	//
	// +optional
	Available string `json:"available,omitempty"`

	// Freed remembers, of a pool with reuseCooldown, the 256 addresses that were let go of last, the latest last.
	//
	// +optional
	// +listType=atomic
	Freed []FreedAddress `json:"freed,omitempty"`

	// Conditions: Ready, Exhausted, Unchecked while it is not known which addresses the cluster uses itself, and
	// QuickstartNotApplied while it stands where the controller's own pool is to be.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// IPAddressPool is a set of addresses that the controller may give to Services of type LoadBalancer.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ippool,categories=belfry
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.spec.addresses`
// +kubebuilder:printcolumn:name="Auto",type=boolean,JSONPath=`.spec.autoAssign`
// +kubebuilder:printcolumn:name="Assigned",type=string,JSONPath=`.status.assigned`
// +kubebuilder:printcolumn:name="Available",type=string,JSONPath=`.status.available`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Exhausted",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Exhausted")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IPAddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec IPAddressPoolSpec `json:"spec"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status IPAddressPoolStatus `json:"status,omitempty"`
}

// IPAddressPoolList is a list of pools.
//
// +kubebuilder:object:root=true
type IPAddressPoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IPAddressPool `json:"items"`
}
