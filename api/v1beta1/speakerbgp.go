package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SpeakerBGP is how the speaker's sessions are.
type SpeakerBGP struct {
	// Peers are the routers that this node should speak to, one entry for each BGPPeer.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	Peers []SpeakerPeer `json:"peers,omitempty"`
}

// States of a session.
const (
	// SessionIdle: none is wanted now, or none can be.
	SessionIdle = "Idle"
	// SessionConnecting: one is being tried for, or waited for.
	SessionConnecting = "Connecting"
	// SessionEstablished: the router is being told.
	SessionEstablished = "Established"
)

// SpeakerPeer is the session with one router.
type SpeakerPeer struct {
	// Name of the BGPPeer.
	Name string `json:"name"`
	// State of the session: Idle, Connecting or Established.
	State string `json:"state"`
	// Since is when the state was entered.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Reason why the session is not established, in one word.
	//
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is the same in words: the last error.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Local and Remote are the ends of the connection, address and port.
	//
	// +optional
	Local string `json:"local,omitempty"`
	// +optional
	Remote string `json:"remote,omitempty"`
	// LocalASN and PeerASN are the ASNs of the two ends.
	//
	// +optional
	LocalASN int64 `json:"localASN,omitempty"`
	// +optional
	PeerASN int64 `json:"peerASN,omitempty"`
	// HoldTime that both ends have agreed on, in seconds.
	//
	// +optional
	HoldTime int32 `json:"holdTime,omitempty"`
	// Families that both ends have agreed on.
	//
	// +optional
	// +listType=atomic
	Families []IPFamily `json:"families,omitempty"`
	// GracefulRestart are the families whose routes the router keeps while the speaker restarts.
	//
	// +optional
	// +listType=atomic
	GracefulRestart []IPFamily `json:"gracefulRestart,omitempty"`
	// RoutesWanted is the number of routes that the router should be told.
	//
	// +optional
	RoutesWanted int32 `json:"routesWanted,omitempty"`
	// RoutesSent is the number of those that it has been told.
	//
	// +optional
	RoutesSent int32 `json:"routesSent,omitempty"`
	// Flaps counts the sessions that were lost since the speaker started.
	//
	// +optional
	Flaps int32 `json:"flaps,omitempty"`
	// BFD is how the path to the router is, where a BFDProfile watches it.
	//
	// +optional
	BFD *SpeakerBFD `json:"bfd,omitempty"`
}

// SpeakerBFD is how the path to a router is.
type SpeakerBFD struct {
	// State of the BFD session: AdminDown, Down, Init or Up.
	State string `json:"state"`
	// Since is when the state was entered.
	//
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Message says why the session is not up.
	//
	// +optional
	Message string `json:"message,omitempty"`
	// Diagnostic is what this end tells the router of the last change, in the words of RFC 5880 §4.1.
	//
	// +optional
	Diagnostic string `json:"diagnostic,omitempty"`
	// RemoteDiagnostic is what the router tells.
	//
	// +optional
	RemoteDiagnostic string `json:"remoteDiagnostic,omitempty"`
	// TransmitInterval in use, in milliseconds.
	//
	// +optional
	TransmitInterval int32 `json:"transmitInterval,omitempty"`
	// DetectionTime in use: the silence after which the path counts as down, in milliseconds.
	//
	// +optional
	DetectionTime int32 `json:"detectionTime,omitempty"`
	// EchoInterval in use in milliseconds; none where the router does not loop echo packets.
	//
	// +optional
	EchoInterval int32 `json:"echoInterval,omitempty"`
	// Ups and Downs count how often the session came up and went down since the speaker started.
	//
	// +optional
	Ups int64 `json:"ups,omitempty"`
	// +optional
	Downs int64 `json:"downs,omitempty"`
}
