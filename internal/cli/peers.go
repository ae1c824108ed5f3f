package cli

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// peerRow is what `peers` shows of one session.
type peerRow struct {
	Node string `json:"node"`
	v1beta1.SpeakerPeer
}

func (a *app) newPeers() *cobra.Command {
	return a.newTable(tableCommand{
		use: "peers", aliases: []string{"peer"}, short: "BGP sessions of all nodes, as in show bgp summary",
		rows: func(f explain.Facts, _ string) any { return peerRows(f) },
		show: func(f explain.Facts, _ string) *table { return peerTable(f) },
	})
}

func peerTable(f explain.Facts) *table {
	t := &table{titles: []string{"PEER", "NODE", "ROUTER", "AS", "STATE", "FOR", "ROUTES", "BFD", "FLAPS", "WHY NOT", "LOCAL", "LOCAL AS", "HOLD", "FAMILIES", "RESTART", "MESSAGE"}, wide: 10}
	for _, r := range peerRows(f) {
		t.add(plain("%s", r.Name), plain("%s", r.Node), plain("%s", r.Remote), number(r.PeerASN),
			good(r.State == v1beta1.SessionEstablished, r.State, r.State), since(f.Now, r.Since), plain("%d/%d", r.RoutesSent, r.RoutesWanted), bfdCell(r.BFD),
			plain("%d", r.Flaps), plain("%s", r.Reason), plain("%s", r.Local), number(r.LocalASN), seconds(r.HoldTime),
			plain("%s", families(r.Families)), plain("%s", families(r.GracefulRestart)), plain("%s", r.Message))
	}
	return t.addUntold(f)
}

// addUntold adds a row for each node whose speaker has too many peers to tell of all.
func (t *table) addUntold(f explain.Facts) *table {
	for _, n := range f.Nodes {
		if n.Status == nil || n.Status.Status.Omitted.BGPPeers == 0 {
			continue
		}
		row := make([]cell, len(t.titles))
		row[0], row[1] = cell{fmt.Sprintf("(%d more)", n.Status.Status.Omitted.BGPPeers), explain.Note}, plain("%s", n.Object.Name)
		t.add(row...)
	}
	return t
}

func peerRows(f explain.Facts) []peerRow {
	rows := []peerRow{}
	for _, n := range f.Nodes {
		if n.Status == nil {
			continue
		}
		for _, p := range n.Status.Status.BGP.Peers {
			r := peerRow{n.Object.Name, p}
			if !f.Alive(n) {
				r.State, r.Reason = "Unknown", "NoSpeaker"
			}
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b peerRow) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Node, b.Node)) })
	return rows
}

// wrong tells whether the session should be established and is not.
func (r peerRow) wrong() bool {
	return r.State != v1beta1.SessionEstablished && !explain.Asked(spec.Reason(r.Reason))
}

func number(n int64) cell {
	if n == 0 {
		return cell{}
	}
	return plain("%d", n)
}

// since says for how long something has been so.
func since(now time.Time, t *metav1.Time) cell {
	if t == nil {
		return cell{}
	}
	return plain("%s", duration.HumanDuration(now.Sub(t.Time)))
}

func bfdCell(b *v1beta1.SpeakerBFD) cell {
	if b == nil {
		return cell{}
	}
	return good(b.State == "Up", b.State, b.State)
}

func families(list []v1beta1.IPFamily) string {
	words := make([]string, len(list))
	for i, f := range list {
		words[i] = string(f)
	}
	return strings.Join(words, ",")
}

func (a *app) newBFD() *cobra.Command {
	return a.newTable(tableCommand{
		use: "bfd", short: "BFD sessions of all nodes",
		rows: func(f explain.Facts, _ string) any { return bfdRows(f) },
		show: func(f explain.Facts, _ string) *table { return bfdTable(f) },
	})
}

func bfdTable(f explain.Facts) *table {
	t := &table{titles: []string{"PEER", "NODE", "ROUTER", "STATE", "FOR", "DETECTS IN", "SENDS EVERY", "ECHO", "UPS", "DOWNS", "DIAGNOSTIC", "ROUTER SAYS", "MESSAGE"}, wide: 10}
	for _, r := range bfdRows(f) {
		t.add(plain("%s", r.Name), plain("%s", r.Node), plain("%s", r.Remote), bfdCell(r.BFD), since(f.Now, r.BFD.Since), millis(r.BFD.DetectionTime),
			millis(r.BFD.TransmitInterval), millis(r.BFD.EchoInterval), plain("%d", r.BFD.Ups), plain("%d", r.BFD.Downs),
			plain("%s", r.BFD.Diagnostic), plain("%s", r.BFD.RemoteDiagnostic), plain("%s", r.BFD.Message))
	}
	return t.addUntold(f)
}

func bfdRows(f explain.Facts) []peerRow {
	return slices.DeleteFunc(peerRows(f), func(r peerRow) bool { return r.BFD == nil })
}

func millis(n int32) cell {
	if n == 0 {
		return cell{}
	}
	return plain("%dms", n)
}

func seconds(n int32) cell {
	if n == 0 {
		return cell{}
	}
	return plain("%ds", n)
}

// routeRow is one prefix that one node tells, or should tell, one router.
type routeRow struct {
	Prefix      string `json:"prefix"`
	Node        string `json:"node"`
	Peer        string `json:"peer"`
	Told        bool   `json:"told"` // the session is established
	LocalPref   string `json:"localPref,omitempty"`
	MED         string `json:"med,omitempty"`
	Prepend     int    `json:"prepend,omitempty"`
	Communities string `json:"communities,omitempty"`
}

func (a *app) newRoutes() *cobra.Command {
	var node, peer string
	return a.newTable(tableCommand{
		use: "routes", aliases: []string{"route"}, short: "Routes that nodes tell routers, by the plan that speakers carry out", need: needEndpoints,
		rows: func(f explain.Facts, _ string) any { return routeRows(f, node, peer) },
		show: func(f explain.Facts, _ string) *table {
			t := &table{titles: []string{"PREFIX", "NODE", "PEER", "STATE", "LOCAL PREF", "MED", "PREPEND", "COMMUNITIES"}, wide: 4}
			for _, r := range routeRows(f, node, peer) {
				t.add(plain("%s", r.Prefix), plain("%s", r.Node), plain("%s", r.Peer), good(r.Told, "told", "no session"),
					plain("%s", r.LocalPref), plain("%s", r.MED), plain("%d", r.Prepend), plain("%s", r.Communities))
			}
			return t
		},
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&node, "node", "", "of this node only")
			cmd.Flags().StringVar(&peer, "peer", "", "to this peer only")
			must(cmd.RegisterFlagCompletionFunc("node", a.completeNames(kindNames()["node"])))
			must(cmd.RegisterFlagCompletionFunc("peer", a.completeNames(kindNames()["peer"])))
		},
	})
}

func routeRows(f explain.Facts, node, peer string) []routeRow {
	rows := []routeRow{}
	v := explain.Look(f)
	for _, n := range f.Nodes {
		name := n.Object.Name
		if node != "" && name != node {
			continue
		}
		plan := v.BGP(name)
		for _, to := range slices.Sorted(maps.Keys(plan.Peers)) {
			if peer != "" && to != peer {
				continue
			}
			for prefix, r := range plan.Peers[to].Routes {
				rows = append(rows, routeRow{
					prefix.String(), name, to, v.Established(name, to), given(r.LocalPref), given(r.MED), r.Prepend, communities(r.Communities),
				})
			}
		}
	}
	slices.SortFunc(rows, func(a, b routeRow) int {
		x, _ := netip.ParsePrefix(a.Prefix)
		y, _ := netip.ParsePrefix(b.Prefix)
		return cmp.Or(x.Compare(y), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Peer, b.Peer))
	})
	return rows
}

func given(n spec.Number) string {
	if !n.Set {
		return ""
	}
	return fmt.Sprint(n.V)
}

// communities are written as routers show them; extended ones in hexadecimal.
func communities(c spec.Communities) string {
	var words []string
	for _, n := range c.Standard {
		words = append(words, fmt.Sprintf("%d:%d", n>>16, n&0xffff))
	}
	for _, n := range c.Large {
		words = append(words, fmt.Sprintf("%d:%d:%d", n[0], n[1], n[2]))
	}
	for _, n := range c.Extended {
		words = append(words, fmt.Sprintf("0x%x", n[:]))
	}
	return strings.Join(words, " ")
}
