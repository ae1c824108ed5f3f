package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CommunityAlias is a name for a BGP community.
type CommunityAlias struct {
	// Name by which advertisements attach the community.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.contains(':')",message="the name of an alias has no colon, so that it is not taken for a community"
	// +kubebuilder:validation:XValidation:rule="!(self in ['no-export', 'no-advertise', 'local-as', 'no-peer', 'blackhole', 'graceful-shutdown'])",message="this name is a well-known community's already"
	Name string `json:"name"`
	// Value is the community, written as in BGPAdvertisements: "64500:100", "large:64500:1:2", "rt:64500:100",
	// "soo:64500:100", "ext:0002fbf000000064", or the name of a well-known one.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.contains(':') || self in ['no-export', 'no-advertise', 'local-as', 'no-peer', 'blackhole', 'graceful-shutdown']",messageExpression="'\"%s\" is no community: write 64500:100, large:64500:1:2, rt:64500:100, soo:64500:100 or a well-known name'.format([self])"
	Value string `json:"value"`
}

// CommunitySpec gives names to BGP communities.
type CommunitySpec struct {
	// Communities and their names.
	//
	// +kubebuilder:validation:MaxItems=256
	// +optional
	// +listType=map
	// +listMapKey=name
	Communities []CommunityAlias `json:"communities,omitempty"`
}

// CommunityStatus tells whether the names are in use, and by whom.
type CommunityStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Users names the BGPAdvertisements that use one of the names, at most 64 of them.
	//
	// +optional
	// +listType=atomic
	Users []string `json:"users,omitempty"`
	// Conditions: Ready.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Community gives names to BGP communities, for advertisements to use.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=belfry
// +kubebuilder:printcolumn:name="Names",type=string,JSONPath=`.spec.communities[*].name`
// +kubebuilder:printcolumn:name="Users",type=string,JSONPath=`.status.users`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Community struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec CommunitySpec `json:"spec,omitempty"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status CommunityStatus `json:"status,omitempty"`
}

// CommunityList is a list of Communities.
//
// +kubebuilder:object:root=true
type CommunityList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Community `json:"items"`
}
