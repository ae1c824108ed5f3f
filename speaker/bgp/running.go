package bgp

import (
	"net/netip"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// Running is what is truly said, as opposed to what was asked for.
type Running struct {
	Peers map[string]Status
}

// Status is how one peer is doing.
type Status struct {
	State State
	// Since is when the state was entered.
	Since time.Time
	// Reason and Message tell why the session is not established: what ended the last attempt or session, or why none is wanted.
	Reason  Reason
	Message string
	// Flaps counts established sessions that were lost.
	Flaps int

	// What follows is known while the session is established, and Remote also once a Waiting peer's router has been found.

	PeerASN       uint32
	RouterID      netip.Addr
	Local, Remote netip.AddrPort
	HoldTime      time.Duration
	Families      wire.Family
	// Graceful are the families that the router keeps while this end restarts.
	Graceful wire.Family
	// Announced is the number of routes that the router has been told or is being told.
	Announced int
	// Withheld are the desired routes that it cannot be told, and why. It must not be changed.
	Withheld map[netip.Prefix]Reason
}

// State of a peer's session.
type State uint8

// The states.
const (
	// Idle: no session is wanted, or none can be.
	Idle State = iota
	// Connecting: a session is wanted and being tried for, or waited for where the router dials.
	Connecting
	// Established: both ends have agreed, routes are announced.
	Established
)

// String returns the name of the state.
func (s State) String() string {
	switch s {
	case Connecting:
		return "Connecting"
	case Established:
		return "Established"
	}
	return "Idle"
}

// Reason is why a session is not established or a route not announced.
type Reason string

// The reasons for a session.
const (
	ReasonNone Reason = ""
	// ReasonDown: the caller wants it down.
	ReasonDown Reason = "Down"
	// ReasonInvalid: the settings contradict themselves.
	ReasonInvalid Reason = "InvalidSettings"
	// ReasonWaiting: the router is to dial and has not.
	ReasonWaiting Reason = "WaitingForRouter"
	// ReasonNoRouter: no router advertises itself on the interface.
	ReasonNoRouter Reason = "NoRouter"
	// ReasonRefused: the router's host answers, but nobody listens or dialling is not allowed.
	ReasonRefused Reason = "ConnectionRefused"
	// ReasonUnreachable: there is no route to the router, or nobody on the network has its address.
	ReasonUnreachable Reason = "Unreachable"
	// ReasonTimeout: the router does not answer.
	ReasonTimeout Reason = "ConnectTimeout"
	// ReasonPassword: the router does not answer; with a password set, the likely cause is that the two differ.
	ReasonPassword Reason = "PasswordMismatchSuspected"
	// ReasonSource: this node does not have the source address or interface.
	ReasonSource Reason = "SourceUnavailable"
	// ReasonNoOpen: connected, but the router says nothing.
	ReasonNoOpen Reason = "NoOpen"
	// ReasonBadPeerAS: the router has another ASN than it must have, or says so of us.
	ReasonBadPeerAS Reason = "BadPeerASN"
	// ReasonOpenRefused: the ends do not agree on something else in OPEN.
	ReasonOpenRefused Reason = "OpenRefused"
	// ReasonShutdown: the router's operator has closed the session.
	ReasonShutdown Reason = "AdministrativeShutdown"
	// ReasonNotification: the router ended the session with another NOTIFICATION.
	ReasonNotification Reason = "NotificationReceived"
	// ReasonHoldTimer: the router has been silent for the hold time.
	ReasonHoldTimer Reason = "HoldTimerExpired"
	// ReasonPathFailed: the caller has seen the path to the router fail.
	ReasonPathFailed Reason = "PathFailed"
	// ReasonStalled: the router does not read what it is sent.
	ReasonStalled Reason = "PeerStalled"
	// ReasonProtocol: the router sent what is no BGP.
	ReasonProtocol Reason = "ProtocolError"
	// ReasonReset: the connection broke, without a NOTIFICATION.
	ReasonReset Reason = "ConnectionLost"
	// ReasonChanged: the settings changed; a new session is on its way.
	ReasonChanged Reason = "SettingsChanged"
	// ReasonInternal: something failed on this node's own side.
	ReasonInternal Reason = "InternalError"
)

// The reasons for a route.
const (
	// ReasonFamily: the router has not agreed to the route's address family.
	ReasonFamily Reason = "FamilyNotNegotiated"
	// ReasonNextHop: this node has no address that could be the next hop.
	ReasonNextHop Reason = "NoNextHop"
	// ReasonPrefix: not a masked prefix of unicast addresses.
	ReasonPrefix Reason = "InvalidPrefix"
	// ReasonAttributes: the attributes do not fit into a message.
	ReasonAttributes Reason = "InvalidAttributes"
)
