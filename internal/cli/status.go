package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/spec"
)

// statusView is what `status` shows.
type statusView struct {
	Plugin     string       `json:"plugin"`
	Controller string       `json:"controller"`
	Speakers   []speakerRow `json:"speakers"`
	Versions   []string     `json:"versions"` // of the speakers
	Pools      []poolRow    `json:"pools"`
	Services   counts       `json:"services"`
	Sessions   counts       `json:"sessions"`
	Wrong      []wrong      `json:"wrong"`
}

type counts struct {
	All     int `json:"all"`
	Pending int `json:"pending"`
}

// wrong is something that is not as it should be.
type wrong struct {
	What string `json:"what"` // to be explained
	Text string `json:"text"`
}

func (a *app) newStatus() *cobra.Command {
	var o output
	var watch bool
	cmd := &cobra.Command{
		Use: "status", Short: "One screen: versions, pools, speakers, what is wrong", GroupID: groupSee, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(f explain.Facts) error { return a.printStatus(f, &o) }
			if watch {
				return a.follow(cmd.Context(), needServices, func(f explain.Facts) error {
					if a.style.on {
						_, _ = io.WriteString(a.io.Out, "\x1b[H\x1b[2J") // the screen is cleared where there is one
					}
					return show(f)
				})
			}
			return a.once(cmd.Context(), needServices, show)
		},
	}
	o.addFlag(cmd, "json", "yaml")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on and print it again when something changes")
	return cmd
}

func (a *app) once(ctx context.Context, what need, show func(explain.Facts) error) error {
	f, err := a.gather(ctx, what)
	if err != nil {
		return err
	}
	return show(f)
}

func (a *app) statusOf(f explain.Facts) statusView {
	s := statusView{Plugin: a.version, Controller: "not seen", Speakers: speakerRows(f), Pools: poolRows(f), Wrong: []wrong{}, Versions: []string{}}
	if c := f.Controller; c.Known {
		s.Controller = fmt.Sprintf("%d of %d available", c.Available, c.Wanted)
		if c.Available == 0 {
			s.Wrong = append(s.Wrong, wrong{"doctor", "no controller is available: nobody assigns addresses"})
		}
	}
	for _, r := range s.Speakers {
		if r.Version != "" && !slices.Contains(s.Versions, r.Version) {
			s.Versions = append(s.Versions, r.Version)
		}
		s.Wrong = append(s.Wrong, r.wrong()...)
	}
	slices.Sort(s.Versions)
	for _, p := range s.Pools {
		s.Wrong = append(s.Wrong, p.wrong()...)
	}
	for _, r := range peerRows(f) {
		s.Sessions.All++
		if r.wrong() {
			s.Sessions.Pending++
			s.Wrong = append(s.Wrong, wrong{"peer/" + r.Name, fmt.Sprintf("node %s: %s", r.Node, strings.TrimSpace(r.State+" "+r.Reason))})
		}
	}
	for _, r := range serviceRows(f, "") {
		s.Services.All++
		if len(r.Addresses) == 0 || r.State != allocated {
			s.Services.Pending++
			s.Wrong = append(s.Wrong, wrong{fmt.Sprintf("svc/%s -n %s", r.Name, r.Namespace), strings.TrimSuffix(r.State+": "+r.Message, ": ")})
		}
	}
	return s
}

func (r speakerRow) wrong() (list []wrong) {
	switch {
	case r.Reason != "":
		list = append(list, wrong{"node/" + r.Node, r.Reason + ": " + r.means()})
	case len(r.Missing) > 0 || r.Omitted.MembersMissing > 0:
		list = append(list, wrong{"node/" + r.Node, "does not see " + shortened(r.Missing, r.Omitted.MembersMissing, ", ")})
	}
	if n := r.Omitted.BGPPeers; n > 0 {
		list = append(list, wrong{"node/" + r.Node, fmt.Sprintf("has too many BGP sessions to tell of all: %d are left out", n)})
	}
	return list
}

func (r poolRow) wrong() []wrong {
	switch {
	case r.Ready != "True":
		return []wrong{{"pool/" + r.Name, r.Ready + ": " + r.Message}}
	case r.has4() && r.Free4 == 0 || r.has6() && r.Free6 == 0:
		return []wrong{{"pool/" + r.Name, "no free address of some family"}}
	}
	return nil
}

func (r speakerRow) means() string {
	w, _ := explain.WordsFor(spec.Reason(r.Reason))
	return w.Means
}

// manyWrong is how many lines of what is wrong are shown.
const manyWrong = 12

func (a *app) printStatus(f explain.Facts, o *output) error {
	s := a.statusOf(f)
	if done, err := o.value(a.io.Out, s); done || err != nil {
		return err
	}
	var b strings.Builder
	ready := 0
	for _, r := range s.Speakers {
		if r.Reason == "" {
			ready++
		}
	}
	fmt.Fprintf(&b, "%s  plugin %s, speakers %s\n", a.style.bold("Versions  "), s.Plugin, orNone(strings.Join(s.Versions, ", ")))
	fmt.Fprintf(&b, "%s  %s\n", a.style.bold("Controller"), s.Controller)
	fmt.Fprintf(&b, "%s  %d of %d nodes can announce\n", a.style.bold("Speakers  "), ready, len(s.Speakers))
	fmt.Fprintf(&b, "%s  %d, %d with something missing\n", a.style.bold("Services  "), s.Services.All, s.Services.Pending)
	if s.Sessions.All > 0 {
		fmt.Fprintf(&b, "%s  %d, %d not established\n", a.style.bold("Sessions  "), s.Sessions.All, s.Sessions.Pending)
	}
	fmt.Fprintf(&b, "%s  %d\n", a.style.bold("Pools     "), len(s.Pools))
	a.poolBars(&b, s.Pools)
	a.wrongLines(&b, s.Wrong)
	_, err := io.WriteString(a.io.Out, b.String())
	return err
}

func (a *app) poolBars(b *strings.Builder, pools []poolRow) {
	width := 0
	for _, p := range pools {
		width = max(width, len(p.Name))
	}
	for _, p := range pools {
		used, share := p.usage()
		free := p.free()
		if free == "" {
			used, free = p.Ready, "-"
		}
		fmt.Fprintf(b, "  %-*s  %s  %s used, %s free\n", width, p.Name, a.style.state(share.state, share.text), used, free)
	}
}

func (a *app) wrongLines(b *strings.Builder, list []wrong) {
	if len(list) == 0 {
		fmt.Fprintln(b, a.style.good("Nothing is wrong."))
		return
	}
	fmt.Fprintln(b, a.style.bold("Wrong"))
	for i, w := range list {
		if i == manyWrong {
			fmt.Fprintf(b, "  and %d more\n", len(list)-i)
			break
		}
		fmt.Fprintf(b, "  %s %s  %s\n", a.style.bad("✗"), w.What, w.Text)
	}
	fmt.Fprintf(b, "Ask why: kubectl belfry explain %s\n", firstExplainable(list))
}

func firstExplainable(list []wrong) string {
	for _, w := range list {
		if strings.Contains(w.What, "/") {
			return w.What
		}
	}
	return "svc/NAME"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
