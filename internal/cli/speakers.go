package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
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
}

func (a *app) newSpeakers() *cobra.Command {
	return a.newTable(tableCommand{
		use: "speakers", aliases: []string{"speaker"}, short: "Speakers: one on every node, what they see and what they announce",
		rows: func(f explain.Facts, _ string) any { return speakerRows(f) },
		show: func(f explain.Facts, _ string) *table {
			t := &table{titles: []string{"NODE", "STATE", "MEMBERS", "ANNOUNCES", "VERSION", "WHY NOT", "INTERFACES", "MISSING", "RESTARTS", "ADDRESSES"}, wide: 6}
			for _, r := range speakerRows(f) {
				members := cell{fmt.Sprint(r.Members), explain.OK}
				if len(r.Missing) > 0 {
					members = cell{fmt.Sprintf("%d (%d missing)", r.Members, len(r.Missing)), explain.Note}
				}
				t.add(plain("%s", r.Node), good(r.State == explain.StateReady, r.State, r.State), members, plain("%d", r.Announces), plain("%s", r.Version),
					plain("%s", r.Reason), plain("%s", strings.Join(r.Interfaces, " ")), plain("%s", strings.Join(r.Missing, " ")), plain("%d", r.Restarts), plain("%s", strings.Join(r.Addresses, " ")))
			}
			return t
		},
	})
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
			r.Addresses = append(r.Addresses, s.L2.Addresses...)
			for _, x := range s.L2.Addresses {
				if rg, err := spec.ParseRange(x); err == nil {
					r.Announces += rg.Size()
				}
			}
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
