package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// testPluginSees: kubectl belfry shows sessions, BFD and routes as the routers themselves see them, and the page draws them.
func testPluginSees(b *bgpScene) {
	addrs := b.routed(2, "shown", "web", dualStack)
	b.established()
	for _, a := range addrs {
		b.through(a, 1, 2, 3)
	}
	p := b.plugin()
	b.Eventually("all sessions in peers and bfd", func() error { return b.allSessions(p) })
	b.Eventually("each route of each node in routes", func() error { return b.allRoutes(p) })
	for _, want := range []struct{ subject, text string }{
		{"svc/shown", "is told to routers by 3 nodes"}, {"ip/" + addrs[1].String(), "✓ routers"},
		{"peer/r2", "✓ peer r2: 3 of 3 are established"}, {"node/n1", "✓ plan"},
	} {
		b.printed(p, want.text, "explain", want.subject)
	}
	b.sessionsDrawn(p)
	b.closedByRouter(p)
}

// printed waits until a command prints a text.
func (s *scene) printed(p *harness.Plugin, text string, args ...string) {
	s.Helper()
	s.Eventually(fmt.Sprintf("%q of %v", text, args), func() error {
		out, _, err := harness.Output(p.Look(s.Ctx, args...))
		if err == nil && !strings.Contains(out, text) {
			err = fmt.Errorf("it is\n%s", out)
		}
		return err
	})
}

type shownPeer struct {
	Node string
	v1beta1.SpeakerPeer
}

// listed decodes what a command prints with -o json.
func (s *scene) listed(p *harness.Plugin, into any, args ...string) error {
	out, _, err := harness.Output(p.Look(s.Ctx, append(args, "-o", "json")...))
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (b *bgpScene) allSessions(p *harness.Plugin) error {
	for _, command := range []string{"peers", "bfd"} {
		var peers []shownPeer
		if err := b.listed(p, &peers, command); err != nil {
			return err
		}
		if want := len(lab.Nodes()) * len(lab.Routers()); len(peers) != want {
			return fmt.Errorf("%s shows %d sessions, want %d", command, len(peers), want)
		}
		for _, s := range peers {
			if s.State != v1beta1.SessionEstablished || s.BFD == nil || s.BFD.State != "Up" || s.BFD.DetectionTime == 0 || s.RoutesSent < 2 || s.RoutesSent != s.RoutesWanted {
				return fmt.Errorf("%s shows %+v", command, s)
			}
		}
	}
	return nil
}

// allRoutes compares what routes shows of each router with the table that the router has.
func (b *bgpScene) allRoutes(p *harness.Plugin) error {
	for i, r := range lab.Routers() {
		var rows []struct {
			Prefix, Node string
			Told         bool
		}
		if err := b.listed(p, &rows, "routes", "--peer", r.Name()); err != nil {
			return err
		}
		var shown []string
		for _, row := range rows {
			if !row.Told {
				return fmt.Errorf("%s is not told to %s by %s", row.Prefix, r.Name(), row.Node)
			}
			shown = append(shown, row.Prefix+" from "+row.Node)
		}
		heard, err := b.heard(i)
		if slices.Sort(shown); err != nil || len(shown) == 0 || !slices.Equal(shown, heard) {
			return fmt.Errorf("routes shows %v, %s has heard %v: %w", shown, r.Name(), heard, err)
		}
	}
	return nil
}

// heard lists what a router has heard, and from which node.
func (b *bgpScene) heard(router int) (out []string, err error) {
	for _, family := range []string{"ipv4", "ipv6"} {
		var table struct {
			Routes map[string][]struct{ PeerID string }
		}
		if err := b.frr[router].JSON(b.Ctx, "show bgp "+family+" unicast", &table); err != nil {
			return nil, err
		}
		for prefix, paths := range table.Routes {
			for _, path := range paths {
				for _, n := range lab.Nodes() {
					if path.PeerID == n.V4().String() {
						out = append(out, prefix+" from "+n.Name())
					}
				}
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// sessionsDrawn looks at the page: both routers, a line to each node, none of them broken.
func (b *bgpScene) sessionsDrawn(p *harness.Plugin) {
	for _, look := range []string{"light", "dark"} {
		page := b.browse(look == "dark")
		b.shows(page, "both routers", `['r1', 'r2'].every((r) => document.querySelector('[data-what="peer/' + r + '"]'))`)
		b.shows(page, "all sessions", `document.querySelectorAll('svg .session').length === 6 && !document.querySelector('svg .session.bad')`)
		b.clicks(page, `[data-what="peer/r1"]`, "why", `document.querySelector('#why').innerText.includes('3 of 3 are established')`)
		b.keep(page, look+"-routers")
	}
}

// closedByRouter has a router's operator close a session: all that shows sessions says so, and why.
func (b *bgpScene) closedByRouter(p *harness.Plugin) {
	neighbor := lab.Node(1).V4().String()
	b.Must(b.frr[1].Configure(b.Ctx, "router bgp 64602", "neighbor "+neighbor+" shutdown"))
	b.Cleanup(func() {
		after := b.on(b.T)
		after.Must(after.frr[1].Configure(after.Ctx, "router bgp 64602", "no neighbor "+neighbor+" shutdown"))
		after.established()
	})
	b.printed(p, "AdministrativeShutdown", "peers")
	b.printed(p, "✗ peer/r2  node n1: ", "status")
	b.printed(p, "✗ peer r2: 2 of 3 are established; node n1: ", "explain", "peer/r2")
	b.printed(p, "node n1 has no session with peer r2", "doctor")
}
