package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
)

// speakerRow is what `speakers` shows of one node.
type speakerRow struct {
	Node       string   `json:"node"`
	State      string   `json:"state"` // as the speaker says, or "missing"
	Reason     string   `json:"reason,omitempty"`
	Members    int32    `json:"members"`
	Missing    []string `json:"missing,omitempty"`
	Addresses  []string `json:"addresses"`
	Announces  int64    `json:"announces"` // number of addresses
	Interfaces []string `json:"interfaces"`
	Version    string   `json:"version,omitempty"`
	Restarts   int32    `json:"restarts"`
	// Omitted counts what the lists lack, because the status would have been too big.
	Omitted v1beta1.SpeakerOmitted `json:"omitted,omitzero"`
}

func (a *app) newSpeakers() *cobra.Command {
	return a.newTable(tableCommand{
		use: "speakers", aliases: []string{"speaker"}, short: "Speakers: one on every node, what they see and what they announce",
		rows: func(f explain.Facts, _ string) any { return speakerRows(f) },
		show: func(f explain.Facts, _ string) *table { return speakerTable(f) },
	})
}

func speakerTable(f explain.Facts) *table {
	t := &table{titles: []string{"NODE", "STATE", "MEMBERS", "ANNOUNCES", "VERSION", "WHY NOT", "INTERFACES", "MISSING", "RESTARTS", "ADDRESSES"}, wide: 6}
	for _, r := range speakerRows(f) {
		members := cell{fmt.Sprint(r.Members), explain.OK}
		if missing := len(r.Missing) + int(r.Omitted.MembersMissing); missing > 0 {
			members = cell{fmt.Sprintf("%d (%d missing)", r.Members, missing), explain.Note}
		}
		t.add(plain("%s", r.Node), good(r.State == explain.StateReady, r.State, r.State), members, plain("%d", r.Announces), plain("%s", r.Version),
			plain("%s", r.Reason), plain("%s", shortened(r.Interfaces, r.Omitted.Interfaces, " ")), plain("%s", shortened(r.Missing, r.Omitted.MembersMissing, " ")),
			plain("%d", r.Restarts), plain("%s", shortened(r.Addresses, r.Omitted.L2Addresses, " ")))
	}
	return t
}

func speakerRows(f explain.Facts) []speakerRow {
	rows := []speakerRow{}
	refusals := f.Refusals()
	for _, n := range f.Nodes {
		r := speakerRow{Node: n.Object.Name, State: "missing", Restarts: n.Pod.Restarts, Addresses: []string{}, Interfaces: []string{}}
		r.Reason = string(refusals[n.Object.Name])
		if n.Status != nil {
			s := n.Status.Status
			r.State, r.Members, r.Missing, r.Version = s.State, s.Members.Alive, s.Members.Missing, s.Version
			r.Addresses, r.Announces, r.Omitted = append(r.Addresses, s.L2.Addresses...), int64(s.L2.Count), s.Omitted
			for _, i := range s.Interfaces {
				name := i.Name
				if !i.Up {
					name += "(down)"
				}
				r.Interfaces = append(r.Interfaces, name)
			}
		}
		if !f.Alive(n) && r.State == explain.StateReady {
			r.State = "gone"
		}
		rows = append(rows, r)
	}
	return rows
}

// shortened joins a list of which so many are left out.
func shortened(list []string, left int32, between string) string {
	if left > 0 {
		list = append(slices.Clone(list), fmt.Sprintf("and %d more", left))
	}
	return strings.Join(list, between)
}
