package alerts

import "time"

// story is how an alert behaves on series in the words of Prometheus' tests: "0x5 1x3" is six times 0 and four times 1, a
// minute apart; _ is no sample.
type story struct {
	alert, name string
	series      string
	at          time.Duration // when it is looked at
	rings       int           // how many ring then
	since       time.Duration // since when the expression holds: it must not ring before the rule's own time is over
}

// What Prometheus adds to the series of a speaker, of a second one, and of the controller's two replicas.
const (
	n1      = `job="belfry-system/belfry-speaker",namespace="belfry-system",pod="belfry-speaker-a",instance="192.0.2.1:7980",node="n1"`
	n2      = `job="belfry-system/belfry-speaker",namespace="belfry-system",pod="belfry-speaker-b",instance="192.0.2.2:7980",node="n2"`
	leader  = `job="belfry-system/belfry-controller",namespace="belfry-system",pod="belfry-controller-a",instance="10.0.0.1:7980",node="n1"`
	standby = `job="belfry-system/belfry-controller",namespace="belfry-system",pod="belfry-controller-b",instance="10.0.0.2:7980",node="n2"`
)

const minute = time.Minute

var stories = []story{
	{"BelfryServicesPending", "one waits", `
		belfry_pending_services{` + leader + `} 0x3 1x20
		belfry_pending_services{` + standby + `} 0x23`, 15 * minute, 1, 4 * minute},
	{"BelfryServicesPending", "it gets one in time", `
		belfry_pending_services{` + leader + `} 0x3 1x3 0x20`, 15 * minute, 0, 0},
	{"BelfryServicesPending", "some wait all the time, never the same for long: it rings all the same", `
		belfry_pending_services{` + leader + `} 1 2 1 3 1 2 1`, 6 * minute, 1, 0},

	{"BelfryServicesNotAnnounced", "no node can", `
		belfry_announced_services{status="False",reason="NoNode",` + leader + `} 0x3 2x20
		belfry_announced_services{status="True",reason="Announced",` + leader + `} 5x23`, 15 * minute, 1, 4 * minute},
	{"BelfryServicesNotAnnounced", "no pod is there to be reached", `
		belfry_announced_services{status="False",reason="NoEndpoints",` + leader + `} 2x23
		belfry_announced_services{status="True",reason="Announced",` + leader + `} 5x23`, 15 * minute, 0, 0},

	{"BelfryPoolNearlyFull", "of one family", `
		belfry_pool_addresses{pool="lan",family="IPv4",state="assigned",` + leader + `} 5x3 10x20
		belfry_pool_addresses{pool="lan",family="IPv4",state="available",` + leader + `} 5x3 0x20
		belfry_pool_addresses{pool="lan",family="IPv6",state="assigned",` + leader + `} 1x23
		belfry_pool_addresses{pool="lan",family="IPv6",state="available",` + leader + `} 1e6x23
		belfry_pool_addresses{pool="lan",family="any",state="outside",` + leader + `} 7x23`, 20 * minute, 1, 4 * minute},
	{"BelfryPoolNearlyFull", "a family that the pool does not have", `
		belfry_pool_addresses{pool="lan",family="IPv4",state="assigned",` + leader + `} 9x20
		belfry_pool_addresses{pool="lan",family="IPv4",state="available",` + leader + `} 1x20
		belfry_pool_addresses{pool="lan",family="IPv6",state="assigned",` + leader + `} 0x20
		belfry_pool_addresses{pool="lan",family="IPv6",state="available",` + leader + `} 0x20`, 20 * minute, 0, 0},

	{"BelfryObjectNotReady", "two pools overlap, an advertisement lacks a community", `
		belfry_configuration_objects{kind="IPAddressPool",status="False",reason="Overlap",` + leader + `} 1x20
		belfry_configuration_objects{kind="BGPAdvertisement",status="False",reason="UnknownCommunity",` + leader + `} 1x20`, 10 * minute, 2, 0},
	{"BelfryObjectNotReady", "all are in use", `
		belfry_configuration_objects{kind="IPAddressPool",status="True",reason="Valid",` + leader + `} 3x20
		belfry_configuration_objects{kind="BGPPeer",status="True",reason="Template",` + leader + `} 1x20`, 20 * minute, 0, 0},

	{"BelfryControllerGone", "both replicas", `
		belfry_pending_services{` + leader + `} 0x3 _x30
		belfry_pending_services{` + standby + `} 0x3 _x30`, 20 * minute, 1, 8 * minute},
	{"BelfryControllerGone", "one of two", `
		belfry_pending_services{` + leader + `} 0x3 _x30
		belfry_pending_services{` + standby + `} 0x33`, 20 * minute, 0, 0},

	{"BelfryNobodyLeads", "the leader hangs", `
		belfry_passes_total{full="true",` + leader + `} 1x9 2x9 3x9 4x60`, 80 * minute, 1, 0},
	{"BelfryNobodyLeads", "there never was one", `
		belfry_pending_services{` + leader + `} 0x30`, 15 * minute, 1, 0},
	{"BelfryNobodyLeads", "nothing happens but a look every ten minutes", `
		belfry_passes_total{full="true",` + leader + `} 1x9 2x9 3x9 4x9 5x9 6x9`, 55 * minute, 0, 0},
	{"BelfryNobodyLeads", "the other replica takes over", `
		belfry_passes_total{full="true",` + leader + `} 1x9 2x9 _x40
		belfry_passes_total{full="true",` + standby + `} _x19 1x9 2x9 3x9 4x9`, 55 * minute, 0, 0},

	{"BelfryWritesFail", "the API server refuses", `
		belfry_api_writes_total{kind="Service",result="refused",` + leader + `} 0+10x30`, 20 * minute, 1, minute},
	{"BelfryWritesFail", "a speaker's status is refused", `
		belfry_api_writes_total{kind="SpeakerStatus",result="error",` + n1 + `} 0+10x30`, 20 * minute, 1, minute},
	{"BelfryWritesFail", "conflicts are no failures", `
		belfry_api_writes_total{kind="Service",result="conflict",` + leader + `} 0+100x30
		belfry_api_writes_total{kind="Service",result="ok",` + leader + `} 0+100x30`, 20 * minute, 0, 0},

	{"BelfryWriteStuck", "a Service", `
		belfry_stuck_writes_total{kind="Service",` + leader + `} 0x10 1x30`, 12 * minute, 1, 11 * minute},
	{"BelfryWriteStuck", "a day ago", `
		belfry_stuck_writes_total{kind="Service",` + leader + `} 0 1x30`, 20 * minute, 0, 0},

	{"BelfrySpeakerNotReady", "one of two", `
		belfry_speaker_ready{` + n1 + `} 1x3 0x20
		belfry_speaker_ready{` + n2 + `} 1x23`, 10 * minute, 1, 4 * minute},
	{"BelfrySpeakerNotReady", "it starts", `
		belfry_speaker_ready{` + n1 + `} 0x3 1x20`, 5 * minute, 0, 0},

	{"BelfrySpeakerWithoutAPIServer", "since it started", `
		belfry_speaker_snapshot{` + n1 + `} 1x20`, 10 * minute, 1, 0},
	{"BelfrySpeakerWithoutAPIServer", "the API server is back", `
		belfry_speaker_snapshot{` + n1 + `} 1x5 0x20`, 12 * minute, 0, 0},

	{"BelfrySpeakersMissing", "n1 does not see two", `
		belfry_members_missing{` + n1 + `} 0x3 2x20
		belfry_members_missing{` + n2 + `} 0x23`, 10 * minute, 1, 4 * minute},
	{"BelfrySpeakersMissing", "an upgrade: a speaker after the other", `
		belfry_members_missing{` + n1 + `} 0 1 0 0 1 0 0 1 1 0 0x20
		belfry_members_missing{` + n2 + `} 0 0 0 1 0 1 0 0 0 0 0x20`, 10 * minute, 0, 0},

	{"BelfrySpeakersDisagree", "a partition", `
		belfry_members_alive{` + n1 + `} 3x3 1x20
		belfry_members_alive{` + n2 + `} 3x3 2x20`, 10 * minute, 1, 4 * minute},
	{"BelfrySpeakersDisagree", "a node less, and everybody knows", `
		belfry_members_alive{` + n1 + `} 3x3 2x20
		belfry_members_alive{` + n2 + `} 3x3 2x20`, 20 * minute, 0, 0},

	{"BelfrySpeakerPassesFail", "all the time", `
		belfry_speaker_pass_failures_total{` + n1 + `} 0+1x30
		belfry_speaker_pass_failures_total{` + n2 + `} 0x30`, 15 * minute, 1, minute},
	{"BelfrySpeakerPassesFail", "once", `
		belfry_speaker_pass_failures_total{` + n1 + `} 0x3 1x30`, 15 * minute, 0, 0},

	{"BelfryAddressConflict", "at once", `
		belfry_l2_contested_addresses{` + n1 + `} 0 1x5`, minute, 1, minute},
	{"BelfryAddressConflict", "over", `
		belfry_l2_contested_addresses{` + n1 + `} 0 1x5 0x5`, 8 * minute, 0, 0},

	// Nothing has to be set up for these: BGP is always the speaker's own.
	{"BelfryBGPSessionDown", "one node, one router of two", `
		belfry_bgp_session_up{peer="left",` + n1 + `} 1x3 0x20
		belfry_bgp_session_up{peer="right",` + n1 + `} 1x23
		belfry_bgp_session_up{peer="left",` + n2 + `} 1x23
		belfry_speaker_draining{` + n1 + `} 0x23
		belfry_speaker_draining{` + n2 + `} 0x23`, 10 * minute, 1, 4 * minute},
	{"BelfryBGPSessionDown", "a router that was never there", `
		belfry_bgp_session_up{peer="left",` + n1 + `} 0x20
		belfry_bgp_session_up{peer="left",` + n2 + `} 0x20
		belfry_speaker_draining{` + n1 + `} 0x20
		belfry_speaker_draining{` + n2 + `} 0x20`, 10 * minute, 2, 0},
	{"BelfryBGPSessionDown", "a node that is drained", `
		belfry_bgp_session_up{peer="left",` + n1 + `} 1x3 0x20
		belfry_bgp_session_up{peer="left",` + n2 + `} 1x23
		belfry_speaker_draining{` + n1 + `} 0x2 1x20
		belfry_speaker_draining{` + n2 + `} 0x23`, 10 * minute, 0, 0},
	{"BelfryBGPSessionDown", "a flap", `
		belfry_bgp_session_up{peer="left",` + n1 + `} 1x3 0 1x20
		belfry_speaker_draining{` + n1 + `} 0x24`, 6 * minute, 0, 0},

	{"BelfryBGPPeerWithoutSession", "a router is gone", `
		belfry_bgp_peer_nodes{peer="left",state="wanted",` + leader + `} 3x23
		belfry_bgp_peer_nodes{peer="left",state="established",` + leader + `} 3x3 0x20
		belfry_bgp_peer_nodes{peer="right",state="wanted",` + leader + `} 3x23
		belfry_bgp_peer_nodes{peer="right",state="established",` + leader + `} 3x23`, 10 * minute, 1, 4 * minute},
	{"BelfryBGPPeerWithoutSession", "one node is without; a peer that no node should have", `
		belfry_bgp_peer_nodes{peer="left",state="wanted",` + leader + `} 3x23
		belfry_bgp_peer_nodes{peer="left",state="established",` + leader + `} 2x23
		belfry_bgp_peer_nodes{peer="right",state="wanted",` + leader + `} 0x23
		belfry_bgp_peer_nodes{peer="right",state="established",` + leader + `} 0x23`, 20 * minute, 0, 0},

	{"BelfryBGPRoutesWithheld", "routes of a family without a next hop", `
		belfry_bgp_withheld_routes{peer="left",` + n1 + `} 0x3 4x20`, 10 * minute, 1, 4 * minute},
	{"BelfryBGPRoutesWithheld", "none", `
		belfry_bgp_withheld_routes{peer="left",` + n1 + `} 0x20`, 10 * minute, 0, 0},

	{"BelfryBFDDown", "of two paths one", `
		belfry_bfd_sessions{state="Up",` + n1 + `} 2x3 1x20
		belfry_bfd_sessions{state="Down",` + n1 + `} 0x3 1x20
		belfry_bfd_sessions{state="Init",` + n1 + `} 0x23
		belfry_speaker_draining{` + n1 + `} 0x23`, 10 * minute, 1, 4 * minute},
	{"BelfryBFDDown", "all are up, or down on purpose", `
		belfry_bfd_sessions{state="Up",` + n1 + `} 2x20
		belfry_bfd_sessions{state="AdminDown",` + n1 + `} 1x20
		belfry_bfd_sessions{state="Down",` + n1 + `} 0x20
		belfry_bfd_sessions{state="Init",` + n1 + `} 0x20
		belfry_speaker_draining{` + n1 + `} 0x20`, 10 * minute, 0, 0},
}
