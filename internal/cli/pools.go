package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
)

// poolRow is what `pools` shows of one.
type poolRow struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Auto      bool     `json:"autoAssign"`
	Assigned4 int64    `json:"assignedIPv4"`
	Free4     int64    `json:"availableIPv4"`
	Assigned6 int64    `json:"assignedIPv6"`
	Free6     int64    `json:"availableIPv6"`
	Outside   int64    `json:"outside"`
	Ready     string   `json:"ready"` // "True", or the reason why not
	Message   string   `json:"message,omitempty"`
}

func (a *app) newPools() *cobra.Command {
	return a.newTable(tableCommand{
		use: "pools", aliases: []string{"pool"}, short: "Pools and how full they are", need: 0,
		rows: func(f explain.Facts, _ string) any { return poolRows(f) },
		show: func(f explain.Facts, _ string) *table {
			t := &table{titles: []string{"NAME", "USED", "", "FREE", "AUTO", "READY", "ADDRESSES", "OUTSIDE", "MESSAGE"}, wide: 6}
			for _, r := range poolRows(f) {
				used, share := r.usage()
				t.add(plain("%s", r.Name), plain("%s", used), share, plain("%s", r.free()), plain("%t", r.Auto),
					good(r.Ready == "True", "True", r.Ready), plain("%s", strings.Join(r.Addresses, " ")), plain("%d", r.Outside), plain("%s", r.Message))
			}
			return t
		},
	})
}

func poolRows(f explain.Facts) []poolRow {
	rows := []poolRow{}
	for _, p := range f.Objects.Pools {
		s := p.Status
		r := poolRow{
			Name: p.Name, Auto: p.Spec.AutoAssign == nil || *p.Spec.AutoAssign, Assigned4: s.AssignedIPv4, Free4: s.AvailableIPv4,
			Assigned6: s.AssignedIPv6, Free6: s.AvailableIPv6, Outside: s.Outside, Ready: "Unknown",
		}
		for _, x := range p.Spec.Addresses {
			r.Addresses = append(r.Addresses, string(x))
		}
		if c := meta.FindStatusCondition(s.Conditions, v1beta1.ConditionReady); c != nil {
			r.Ready, r.Message = string(c.Status), c.Message
			if c.Status != "True" {
				r.Ready = c.Reason
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// has4 and has6 tell which families the pool has.
func (r poolRow) has4() bool { return r.Assigned4+r.Free4 > 0 }
func (r poolRow) has6() bool { return r.Assigned6+r.Free6 > 0 }

func (r poolRow) usage() (string, cell) {
	var parts []string
	used, all := r.Assigned4, r.Assigned4+r.Free4
	if r.has4() {
		parts = append(parts, fmt.Sprintf("%d IPv4", r.Assigned4))
	}
	if r.has6() {
		parts = append(parts, fmt.Sprintf("%d IPv6", r.Assigned6))
	}
	if !r.has4() {
		used, all = r.Assigned6, r.Assigned6+r.Free6
		if all < 0 { // the two add up to more than can be counted
			all = r.Free6
		}
	}
	c := cell{bar(used, all, 10), explain.OK}
	switch {
	case all > 0 && used >= all:
		c.state = explain.Broken
	case all > 0 && float64(used) >= 0.9*float64(all):
		c.state = explain.Note
	}
	return strings.Join(parts, ", "), c
}

func (r poolRow) free() string {
	var parts []string
	if r.has4() {
		parts = append(parts, explain.Count(r.Free4)+" IPv4")
	}
	if r.has6() {
		parts = append(parts, explain.Count(r.Free6)+" IPv6")
	}
	return strings.Join(parts, ", ")
}
