package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IPFamily is an address family.
//
// +kubebuilder:validation:Enum=IPv4;IPv6
type IPFamily string

// Address is an IPv4 or IPv6 address.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=45
// +kubebuilder:validation:XValidation:rule="isIP(self)",messageExpression="'\"%s\" is no address: write 192.0.2.7 or 2001:db8::7'.format([self])"
type Address string

// IPReservationSpec says which addresses to keep, and for whom.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.pool) && has(self.addresses))",message="give pool or addresses, not both: addresses are in one pool each"
// +kubebuilder:validation:XValidation:rule="!(has(self.families) && has(self.addresses))",message="give families or addresses, not both: addresses have their families"
type IPReservationSpec struct {
	// Pool to take the addresses from. Without it, and without addresses, they come from the pools that assign
	// automatically.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pool string `json:"pool,omitempty"`

	// Addresses to reserve, if it must be these.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=set
	// +optional
	Addresses []Address `json:"addresses,omitempty"`

	// Families of which to reserve an address each. Without it, and without addresses, an IPv4 address is reserved.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=2
	// +listType=set
	// +optional
	Families []IPFamily `json:"families,omitempty"`

	// ServiceName is the Service of this namespace that takes the addresses without asking. Others of the namespace take
	// them with the annotation belfry.dev/reservation.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ServiceName string `json:"serviceName,omitempty"`
}

// IPReservationStatus tells what is reserved, and who uses it.
type IPReservationStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Addresses that are reserved.
	//
	// +optional
	// +listType=atomic
	Addresses []string `json:"addresses,omitempty"`
	// Pools of the addresses, in their order.
	//
	// +optional
	// +listType=atomic
	Pools []string `json:"pools,omitempty"`
	// Holder is the Service that uses the addresses now, the eldest of several.
	//
	// +optional
	Holder string `json:"holder,omitempty"`

	// Conditions: Allocated, and Ready, which says the same.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// IPReservation keeps addresses for Services of its namespace, whether they exist or not.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=ipres,categories=belfry
// +kubebuilder:printcolumn:name="Addresses",type=string,JSONPath=`.status.addresses`
// +kubebuilder:printcolumn:name="Holder",type=string,JSONPath=`.status.holder`
// +kubebuilder:printcolumn:name="Allocated",type=string,JSONPath=`.status.conditions[?(@.type=="Allocated")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Allocated")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IPReservation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec IPReservationSpec `json:"spec,omitempty"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status IPReservationStatus `json:"status,omitempty"`
}

// IPReservationList is a list of reservations.
//
// +kubebuilder:object:root=true
type IPReservationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IPReservation `json:"items"`
}
