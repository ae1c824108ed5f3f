package explain

import "github.com/belfry-lb/belfry/internal/spec"

// The reasons of the wires are spelt out here: this floor knows no wire. A test compares them with what the wires say.

// ofL2 are the problems of layer 2 with one address on one node.
func ofL2() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		"InvalidAddress": {"ARP and NDP cannot announce such an address", "Take the address out of the pool."},
		"LinkDown":       {"every wanted interface is down or has lost its carrier", "Look at the cable, the switch port and `ip link` on the node."},
		"NoIPv4":         {"no wanted interface that is up has an IPv4 address, which ARP needs", "Give the node's interface an IPv4 address, or name another interface in the advertisement."},
		"NoLinkLocal":    {"no wanted interface that is up has an IPv6 link-local address, from which NDP speaks", "Enable IPv6 on the interface (sysctl net.ipv6.conf.IFACE.disable_ipv6=0), or name another one."},
		"SocketFailed":   {"the sockets for ARP or NDP could not be opened; they are tried again", "See the speaker's log: it needs the capability NET_RAW."},
		"Probing":        {"the network is being asked whether somebody has the address", "Nothing: this takes a moment."},
		"Conflict":       {"a host that nobody knows answers for the address", "Find the host by its MAC in the speaker's log and give it another address, or put the address into the pool's exclude."},
		"HeldByStation":  {"another station of the cluster still answers for the address", "Ask again in a moment; if it lasts, that node answers without its speaker: look at it."},
	}
}

// ofSessions are the reasons why a BGP session is not established.
func ofSessions() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		"Down":                      {"the session is to be down", "Nothing: no object asks for the session on this node, or the node is drained."},
		"InvalidSettings":           {"the settings of the session contradict themselves", "Correct the BGPPeer: the message names the field."},
		"WaitingForRouter":          {"the router is to dial and has not", "Configure the node as a neighbour on the router, or let Belfry dial (passive: false)."},
		"NoRouter":                  {"no router advertises itself on the interface", "Let the router send Router Advertisements on that link, or give peerAddress."},
		"ConnectionRefused":         {"the router's host answers, but nobody listens on the port, or the node may not connect", "Check peerAddress and peerPort, and that the router has this node as a neighbour."},
		"Unreachable":               {"there is no route to the router, or nobody on its network has its address", "Check that the router is on, peerAddress, and `ip route get` and `ip neighbour` on the node."},
		"ConnectTimeout":            {"the router does not answer", "Check peerAddress, firewalls on TCP 179, and ebgpMultiHop for a router that is not on the node's network."},
		"PasswordMismatchSuspected": {"the router does not answer; with a password set, the likely cause is that the two differ", "Compare the password with the router's; its log says \"invalid MD5 digest\" or the like."},
		"SourceUnavailable":         {"the node does not have the source address or interface", "Correct sourceAddress or the interface, or select other nodes with nodeSelectors."},
		"AdministrativeShutdown":    {"the router's operator has closed the session", "Ask the operator of the router; the session comes back by itself."},
		"NotificationReceived":      {"the router ended the session with a NOTIFICATION", "The message has the router's code; its log has the rest."},
		"HoldTimerExpired":          {"the router has been silent for the hold time", "Look for packet loss or an overloaded router; the session is tried again."},
		"PathFailed":                {"BFD says that the path to the router is down", "Look at the link and at the router; the message has what BFD saw, and the session comes back with the path."},
		"PeerStalled":               {"the router does not read what it is sent", "Look at the load of the router."},
		"ConnectionLost":            {"the connection broke without a NOTIFICATION", "Nothing at first: it is tried again. If it recurs, look at the path to the router."},
		"SettingsChanged":           {"the settings changed; a new session is on its way", "Nothing: this takes a moment."},
		"InternalError":             {"something failed on the node's own side", "See the speaker's log."},
	}
}

// ofOpen are those of two ends that do not agree.
func ofOpen() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		"NoOpen":        {"connected, but the router says nothing", "See that a BGP daemon listens at peerAddress and has this node as a neighbour."},
		"BadPeerASN":    {"the router has another ASN than it must have, or says so of us", "Compare myASN and peerASN with the router's configuration."},
		"OpenRefused":   {"the two ends do not agree on something in OPEN", "The message names it: hold time, router ID or a capability; correct it on either end."},
		"ProtocolError": {"the router sent what is no BGP", "See that a BGP daemon listens at peerAddress, and the speaker's log."},
	}
}

// ofRoutes are the reasons why one route is not announced to a peer.
func ofRoutes() map[spec.Reason]Words {
	return map[spec.Reason]Words{
		"FamilyNotNegotiated": {"the router has not agreed to the route's address family", "Activate the address family for this neighbour on the router."},
		"NoNextHop":           {"the node has no address of the family that could be the next hop", "Give the node an address of the family, or set the next hop."},
		"InvalidPrefix":       {"the route is no prefix of unicast addresses", "Correct aggregationLength of the advertisement."},
		"InvalidAttributes":   {"the attributes do not fit into a message", "Use fewer communities."},
	}
}
