package explain

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/alloc"
	"github.com/belfry-lb/belfry/internal/plan"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Picture is the network as it is, for a page to draw.
type Picture struct {
	Pools      []PicturePool    `json:"pools"`
	Nodes      []PictureNode    `json:"nodes"`
	Services   []PictureService `json:"services"`
	Routers    []PictureRouter  `json:"routers"`
	Controller PictureCount     `json:"controller"`
	More       int              `json:"more"` // Services that are left out, all well
}

// PictureCount is how many of how many.
type PictureCount struct {
	Known bool  `json:"known"`
	Good  int32 `json:"good"`
	All   int32 `json:"all"`
}

// PicturePool is a pool and how full it is.
type PicturePool struct {
	Name   string   `json:"name"`
	Ranges []string `json:"ranges"`
	Used   int64    `json:"used"`
	Share  float64  `json:"share"` // of the addresses in use, 0 to 1
	Free   string   `json:"free"`
	Wrong  string   `json:"wrong,omitempty"`
}

// PictureNode is a node, and what it answers for.
type PictureNode struct {
	Name       string      `json:"name"`
	Reason     spec.Reason `json:"reason,omitempty"` // why it announces nothing new
	Why        string      `json:"why,omitempty"`
	Version    string      `json:"version"`
	Interfaces []string    `json:"interfaces"`
	Addresses  []string    `json:"addresses"`
}

// PictureRouter is a BGPPeer and its sessions.
type PictureRouter struct {
	Name     string           `json:"name"`
	Text     string           `json:"text"`
	Sessions []PictureSession `json:"sessions"`
}

// PictureSession is a node's session with a router.
type PictureSession struct {
	Node        string `json:"node"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Established bool   `json:"established"`
}

// PictureService is a Service and its addresses.
type PictureService struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Addresses []PictureAddress `json:"addresses"`
	State     State            `json:"state"`
	Reason    spec.Reason      `json:"reason,omitempty"`
	Text      string           `json:"text,omitempty"`
}

// PictureAddress is an address and who says that it announces it.
type PictureAddress struct {
	Address string   `json:"address"`
	Pool    string   `json:"pool"`
	Nodes   []string `json:"nodes"`
}

// manyServices is how many a page is given; those with which something is wrong come first.
const manyServices = 1000

// Draw returns the picture.
func (v *View) Draw() Picture {
	p := Picture{
		Pools: []PicturePool{}, Nodes: []PictureNode{}, Services: []PictureService{}, Routers: v.drawRouters(),
		Controller: PictureCount{v.Controller.Known, v.Controller.Available, v.Controller.Wanted},
	}
	for _, o := range v.Objects.Pools {
		p.Pools = append(p.Pools, v.drawPool(o))
	}
	refusals, answered := v.Refusals(), v.answered()
	for _, n := range v.Nodes {
		p.Nodes = append(p.Nodes, v.drawNode(n, refusals[n.Object.Name], answered[n.Object.Name]))
	}
	for _, s := range v.Services {
		if s.Ours {
			p.Services = append(p.Services, v.drawService(s))
		}
	}
	slices.SortFunc(p.Services, func(a, b PictureService) int {
		return cmp.Or(cmp.Compare(badness(b.State), badness(a.State)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if n := len(p.Services); n > manyServices {
		p.Services, p.More = p.Services[:manyServices], n-manyServices
	}
	return p
}

func badness(s State) int { return slices.Index([]State{OK, Note, Broken}, s) }

func (v *View) drawPool(o v1beta1.IPAddressPool) PicturePool {
	p := PicturePool{Name: o.Name}
	for _, r := range o.Spec.Addresses {
		p.Ranges = append(p.Ranges, string(r))
	}
	for _, x := range v.Problems {
		if x.Kind == "IPAddressPool" && x.Name == o.Name {
			p.Wrong = x.Message
		}
	}
	u := v.Usage(o.Name)
	p.Used = u.AssignedIPv4 + u.AssignedIPv6
	p.Share = max(share(u.AssignedIPv4, u.AvailableIPv4), share(u.AssignedIPv6, u.AvailableIPv6))
	if s, ok := v.Snapshot.Pool(o.Name); ok {
		p.Free = v.room(s)
	}
	return p
}

func share(used, free int64) float64 {
	if used == 0 {
		return 0
	}
	return float64(used) / (float64(used) + float64(free))
}

// drawRouters are those of which some speaker tells.
func (v *View) drawRouters() []PictureRouter {
	by := map[string]*PictureRouter{}
	for _, n := range v.Nodes {
		if n.Status == nil {
			continue
		}
		for _, p := range n.Status.Status.BGP.Peers {
			r := by[p.Name]
			if r == nil {
				r = &PictureRouter{Name: p.Name}
				by[p.Name] = r
			}
			if p.Remote != "" {
				r.Text = fmt.Sprintf("AS %d · %s", p.PeerASN, p.Remote)
			}
			up := p.State == v1beta1.SessionEstablished && v.Alive(n)
			r.Sessions = append(r.Sessions, PictureSession{n.Object.Name, p.State, p.Reason, up})
		}
	}
	out := []PictureRouter{}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, *by[name])
	}
	return out
}

func (v *View) drawNode(n Node, refusal spec.Reason, answers []netip.Addr) PictureNode {
	p := PictureNode{Name: n.Object.Name, Reason: refusal, Interfaces: []string{}, Addresses: []string{}}
	p.Why = vocabulary()[p.Reason].Means
	if n.Status == nil || !v.Alive(n) {
		return p
	}
	p.Version = n.Status.Status.Version
	for _, i := range n.Status.Status.Interfaces {
		if i.Up {
			p.Interfaces = append(p.Interfaces, i.Name)
		}
	}
	for _, a := range answers {
		p.Addresses = append(p.Addresses, a.String())
	}
	return p
}

// answered lists by node the addresses of our Services that it says it answers for, in order.
func (v *View) answered() map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, a := range slices.SortedFunc(maps.Keys(v.holders), netip.Addr.Compare) {
		for _, node := range v.Announcers(a) {
			out[node] = append(out[node], a)
		}
	}
	return out
}

func (v *View) drawService(s Service) PictureService {
	key := s.key()
	p := PictureService{Namespace: key.Namespace, Name: key.Name, State: OK, Addresses: []PictureAddress{}}
	verdict := v.verdicts[key]
	if verdict.Reason != alloc.ReasonAllocated {
		p.State, p.Reason, p.Text = Note, verdict.Reason, verdict.Message
	}
	if !verdict.Allocated {
		p.State = Broken
	}
	parsed := spec.ParseService(s.Object)
	for i, a := range parsed.Held {
		nodes := v.Announcers(a)
		if nodes == nil {
			nodes = []string{}
		}
		p.Addresses = append(p.Addresses, PictureAddress{a.String(), parsed.PoolOf(i), nodes})
		if h, selected := v.heard()[plan.Hold{Service: key, Addr: a}]; len(nodes) == 1 || p.State == Broken || len(nodes) == 0 && selected && h.Reason == "" {
			continue
		}
		p.State = Broken
		p.Reason, p.Text = v.whyNobody(key, a)
		switch {
		case len(nodes) > 1:
			p.Reason, p.Text = ReasonSeveralAnnounce, "announced by "+atMost(nodes)
		case p.Reason == "" || p.Text == "":
			p.Reason, p.Text = ReasonNotAnnounced, "nobody says that it announces "+a.String()
		}
	}
	return p
}
