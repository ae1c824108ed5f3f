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

// IPAddressPoolSpec says which addresses may be given to Services.
type IPAddressPoolSpec struct {
	// Addresses of the pool: CIDRs, ranges and single addresses, IPv4 and IPv6 mixed as you like.
	// Every address of a CIDR is used, the first and the last included.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	Addresses []AddressRange `json:"addresses"`

	// AutoAssign lets Services that name no pool have addresses of this one.
	//
	// +kubebuilder:default=true
	// +optional
	AutoAssign *bool `json:"autoAssign,omitempty"`
}

// IPAddressPoolStatus counts what is in use.
type IPAddressPoolStatus struct {
	// AssignedIPv4 is the number of IPv4 addresses of this pool held by Services.
	//
	// +kubebuilder:default=0
	// +optional
	AssignedIPv4 int64 `json:"assignedIPv4"`
	// AssignedIPv6 is the number of IPv6 addresses of this pool held by Services.
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

	// Conditions: Ready.
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
// +kubebuilder:printcolumn:name="Assigned v4",type=integer,JSONPath=`.status.assignedIPv4`
// +kubebuilder:printcolumn:name="Assigned v6",type=integer,JSONPath=`.status.assignedIPv6`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IPAddressPool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec IPAddressPoolSpec `json:"spec"`
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
