package speaker

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// Reasons for which a session is not even tried for, besides those of the engine.
const (
	// reasonNoGateway: autoDiscovery finds no router, because this node has no default gateway.
	reasonNoGateway = "NoDefaultGateway"
	// reasonNoPassword: the Secret with the password, or its key, is missing.
	reasonNoPassword = "PasswordMissing"
	// reasonLeaving: the node is drained or excluded, and its sessions are closed.
	reasonLeaving = "NodeDraining"
	// reasonBFD: bfdStrict is set, and BFD is not up.
	reasonBFD = "WaitingForBFD"
)

// bgpDesk turns the wish of a pass into what the engines are to do right now. It holds what takes time: routes that are
// said a moment longer, sessions that are drained before they end, failures of paths that end a session once.
//
//	         wish           drain time is over
//	Up ───────────► Draining ───────────────► Down
//	 ▲  node leaves   the routes as they were    │
//	 └──────────── node does not leave any more ─┘
type bgpDesk struct {
	delay  time.Duration // for which a route outlives the pods behind it
	drain  time.Duration // for which routes are said with GRACEFUL_SHUTDOWN
	kernel kernelRoutes

	leavingSince time.Time // zero while the node stays
	said         map[string]map[netip.Prefix]bgp.Route
	fadeAt       map[string]map[netip.Prefix]time.Time
	paths        map[string]pathMemory
}

// pathMemory is what a peer's session has heard of BFD.
type pathMemory struct {
	path     bfd.Path
	downs    uint64 // those of BFD's that have been judged
	failures uint64 // and how many of them were the path's
	why      string
}

func newBGPDesk(delay, drain time.Duration, kernel kernelRoutes) *bgpDesk {
	return &bgpDesk{
		delay: delay, drain: drain, kernel: kernel,
		said: map[string]map[netip.Prefix]bgp.Route{}, fadeAt: map[string]map[netip.Prefix]time.Time{}, paths: map[string]pathMemory{},
	}
}

// orders are what the engines are to do.
type orders struct {
	bgp    bgp.Desired
	bfd    bfd.Desired
	refuse []netip.Prefix
	// problems say why a peer is not tried for, and watch why its path is not watched.
	problems map[string]problem
	watch    map[string]string
	// broken are the peers with which this node cannot speak.
	broken map[string]problem
	// paths are those of the peers that are watched.
	paths map[string]bfd.Path
	// again is when to look again, if nothing happens before; zero for never.
	again time.Time
}

// order decides. It is called whenever something may have changed, with what the engines last told.
func (d *bgpDesk) order(now time.Time, w *bgpWish, sessions bgp.Running, watched bfd.Running) orders {
	o := orders{
		bgp: bgp.Desired{Peers: map[string]bgp.Peer{}}, bfd: bfd.Desired{Sessions: map[bfd.Path]bfd.Settings{}},
		problems: map[string]problem{}, broken: w.broken, watch: map[string]string{}, paths: map[string]bfd.Path{},
	}
	mode, why := d.mode(now, w, &o)
	for _, name := range slices.Sorted(maps.Keys(w.peers)) {
		p := w.peers[name]
		s, found := discover(p.session, d.kernel)
		d.watchPath(name, p, s, sessions.Peers[name], watched, &o)
		peer := bgp.Peer{Session: engineSession(s, p.password.value), Mode: mode, Reason: why}
		if mode == bgp.Up {
			peer.Routes = d.routes(now, name, p.routes, w.fading, &o)
		} else {
			peer.Routes = d.said[name]
		}
		peer.Failures, peer.Failure = d.paths[name].failures, d.paths[name].why
		if trouble, ok := d.trouble(name, p, found, watched, o); ok && mode != bgp.Down {
			peer.Mode, peer.Reason = bgp.Down, trouble.message
			if trouble.reason == reasonBFD {
				peer.Mode = bgp.Waiting
			}
			o.problems[name] = trouble
		}
		if mode == bgp.Down {
			o.problems[name] = problem{reasonLeaving, why}
		}
		d.said[name] = peer.Routes
		o.bgp.Peers[name] = peer
	}
	if mode != bgp.Down {
		o.refuse = w.refuse
	}
	d.forget(w)
	return o
}

// mode says how far the node is with leaving.
func (d *bgpDesk) mode(now time.Time, w *bgpWish, o *orders) (bgp.Mode, string) {
	if w.leaving == "" {
		d.leavingSince = time.Time{}
		return bgp.Up, ""
	}
	if d.leavingSince.IsZero() {
		d.leavingSince = now
	}
	if until := d.leavingSince.Add(d.drain); now.Before(until) {
		o.wake(until)
		return bgp.Draining, w.leaving
	}
	return bgp.Down, w.leaving
}

// routes are those of the wish, and those that fade: a route outlives its last pod for a moment, in which the nodes with the
// pods that replace it announce theirs.
func (d *bgpDesk) routes(
	now time.Time, name string, wanted map[netip.Prefix]bgp.Route, fading map[netip.Addr]bool, o *orders,
) map[netip.Prefix]bgp.Route {
	until := map[netip.Prefix]time.Time{}
	all, shared := wanted, true
	for prefix, before := range d.said[name] {
		if _, ok := wanted[prefix]; ok || !fades(prefix, fading) {
			continue
		}
		end, known := d.fadeAt[name][prefix]
		if !known {
			end = now.Add(d.delay)
		}
		until[prefix] = end
		if !now.Before(end) {
			continue
		}
		if shared {
			all, shared = maps.Clone(wanted), false
		}
		if all == nil {
			all = map[netip.Prefix]bgp.Route{}
		}
		all[prefix] = before
		o.wake(end)
	}
	d.fadeAt[name] = until
	return all
}

// fades tells whether the last address of a route has lost its pods.
func fades(p netip.Prefix, fading map[netip.Addr]bool) bool {
	if p.IsSingleIP() {
		return fading[p.Addr()]
	}
	for a := range fading {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// trouble finds what keeps a session from being tried for.
func (d *bgpDesk) trouble(name string, p peerWish, found bool, watched bfd.Running, o orders) (problem, bool) {
	switch {
	case p.down != nil:
		return *p.down, true
	case p.password.problem != "":
		return problem{reasonNoPassword, p.password.problem}, true
	case !found:
		return problem{reasonNoGateway, "this node has no default gateway"}, true
	case !p.session.BFDStrict:
		return problem{}, false
	}
	path, ok := o.paths[name]
	state := watched.Sessions[path]
	switch {
	case p.bfd == nil:
		return problem{reasonBFD, fmt.Sprintf("BFD: there is no BFDProfile %s that can be used", p.session.BFDProfile)}, true
	case o.watch[name] != "":
		return problem{reasonBFD, "BFD: " + o.watch[name]}, true
	case !ok: // unnumbered
		return problem{reasonBFD, "BFD: the router has not been found yet"}, true
	case state.State != bfd.Up:
		return problem{reasonBFD, "BFD: " + cmp.Or(state.Why(), watched.Problems[path], "not up yet")}, true
	}
	return problem{}, false
}

// watchPath has BFD watch the path to a router, and takes note of failures.
func (d *bgpDesk) watchPath(name string, p peerWish, s spec.Session, session bgp.Status, watched bfd.Running, o *orders) {
	m := d.paths[name]
	defer func() { d.paths[name] = m }()
	if p.bfd == nil {
		m.path = bfd.Path{}
		return
	}
	if p.bfdKey.problem != "" {
		o.watch[name] = p.bfdKey.problem
		return
	}
	path, ok := watchedPath(s, session.Remote.Addr(), p.bfd.MultiHop)
	if !ok && m.path.Peer.IsValid() && !s.Address.IsValid() {
		path, ok = m.path, true // unnumbered, between two sessions: where the router last was
	}
	if !ok {
		return
	}
	if path != m.path {
		m.path, m.downs = path, watched.Sessions[path].Downs
	}
	o.paths[name] = path
	o.bfd.Sessions[path] = watchSettings(p.bfd.Profile, p.bfdKey.value)
	state, ok := watched.Sessions[path]
	if !ok || state.Downs == m.downs {
		return
	}
	if state.Downs > m.downs && (state.Failed() || state.State == bfd.Up) {
		m.failures++
		m.why = "BFD: " + cmp.Or(state.Why(), "the path failed for a moment")
	}
	m.downs = state.Downs
}

func (o *orders) wake(at time.Time) {
	if o.again.IsZero() || at.Before(o.again) {
		o.again = at
	}
}

// forget drops what is remembered of peers that are no more.
func (d *bgpDesk) forget(w *bgpWish) {
	gone := func(name string) bool { _, ok := w.peers[name]; return !ok }
	maps.DeleteFunc(d.said, func(name string, _ map[netip.Prefix]bgp.Route) bool { return gone(name) })
	maps.DeleteFunc(d.fadeAt, func(name string, _ map[netip.Prefix]time.Time) bool { return gone(name) })
	maps.DeleteFunc(d.paths, func(name string, _ pathMemory) bool { return gone(name) })
}
