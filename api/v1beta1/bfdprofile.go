package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BFDAuthenticationType is a way to authenticate BFD packets, RFC 5880 §6.7.
//
// +kubebuilder:validation:Enum=SimplePassword;KeyedMD5;MeticulousKeyedMD5;KeyedSHA1;MeticulousKeyedSHA1
type BFDAuthenticationType string

// The types of RFC 5880. A meticulous one numbers every packet anew, so that none can be replayed.
const (
	BFDSimplePassword      BFDAuthenticationType = "SimplePassword"
	BFDKeyedMD5            BFDAuthenticationType = "KeyedMD5"
	BFDMeticulousKeyedMD5  BFDAuthenticationType = "MeticulousKeyedMD5"
	BFDKeyedSHA1           BFDAuthenticationType = "KeyedSHA1"
	BFDMeticulousKeyedSHA1 BFDAuthenticationType = "MeticulousKeyedSHA1"
)

// SecretName names a Secret in Belfry's own namespace.
type SecretName struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// BFDAuthentication says how BFD packets are authenticated, both ways.
type BFDAuthentication struct {
	// Type of the authentication; the router must use the same.
	Type BFDAuthenticationType `json:"type"`
	// KeyID is the number of the key; the router must use the same.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	// +kubebuilder:default=1
	// +optional
	KeyID *int32 `json:"keyID,omitempty"`
	// SecretRef names a Secret in Belfry's own namespace, whose key "password" holds the password: 1 to 16 bytes, with SHA1
	// up to 20.
	SecretRef SecretName `json:"secretRef"`
}

// BFDProfileSpec says how the path to a router is watched.
//
// +kubebuilder:validation:XValidation:rule="!has(self.echoInterval) || (has(self.echoMode) && self.echoMode)",message="echoInterval needs echoMode"
type BFDProfileSpec struct {
	// ReceiveInterval is the shortest time between two packets that this end wants to receive, in milliseconds.
	//
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=60000
	// +kubebuilder:default=300
	// +optional
	ReceiveInterval *int32 `json:"receiveInterval,omitempty"`
	// TransmitInterval is the shortest time between two packets that this end wants to send, in milliseconds.
	//
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=60000
	// +kubebuilder:default=300
	// +optional
	TransmitInterval *int32 `json:"transmitInterval,omitempty"`
	// DetectMultiplier is how many packets in a row may be missing until the path counts as down.
	//
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=255
	// +kubebuilder:default=3
	// +optional
	DetectMultiplier *int32 `json:"detectMultiplier,omitempty"`
	// EchoMode sends packets that the router's forwarding loops back (RFC 5881 §4), where it offers to; not over several
	// hops.
	//
	// +optional
	EchoMode *bool `json:"echoMode,omitempty"`
	// EchoInterval is the time between two of them in milliseconds, 50 unless given.
	//
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=60000
	// +optional
	EchoInterval *int32 `json:"echoInterval,omitempty"`
	// PassiveMode says nothing until the router has spoken.
	//
	// +optional
	PassiveMode *bool `json:"passiveMode,omitempty"`
	// MinimumTTL is the smallest TTL of packets that are accepted over several hops, 254 unless given. From a neighbour it is
	// always 255.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=254
	// +optional
	MinimumTTL *int32 `json:"minimumTtl,omitempty"`
	// Authentication of the packets; none unless given.
	//
	// +optional
	Authentication *BFDAuthentication `json:"authentication,omitempty"`
}

// BFDProfileStatus tells who uses the profile.
type BFDProfileStatus struct {
	// ObservedGeneration is the generation of the object that all of the status is about; -1 until it has been looked at.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Users names the BGPPeers that use the profile, at most 64 of them.
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

// BFDProfile says how BFD watches the path to a router, so that its failure is noticed in a fraction of a second.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=belfry
// +kubebuilder:printcolumn:name="Transmit",type=integer,JSONPath=`.spec.transmitInterval`
// +kubebuilder:printcolumn:name="Receive",type=integer,JSONPath=`.spec.receiveInterval`
// +kubebuilder:printcolumn:name="Multiplier",type=integer,JSONPath=`.spec.detectMultiplier`
// +kubebuilder:printcolumn:name="Users",type=string,JSONPath=`.status.users`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type BFDProfile struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec BFDProfileSpec `json:"spec,omitempty"`
	// +kubebuilder:default={observedGeneration:-1}
	// +optional
	Status BFDProfileStatus `json:"status,omitempty"`
}

// BFDProfileList is a list of profiles.
//
// +kubebuilder:object:root=true
type BFDProfileList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []BFDProfile `json:"items"`
}
