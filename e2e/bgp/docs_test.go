//go:build linux

package bgp

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker/bfd"
	"github.com/belfry-lb/belfry/speaker/bgp"
)

// block is a router's configuration in the docs.
type block struct{ page, heading, daemon, conf string }

var (
	fenced  = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// blocks returns all of the docs that are in the language of a router that can be run.
func blocks(t *testing.T) (all []block) {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	docs := filepath.Join(root, "docs")
	err = filepath.WalkDir(docs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".md") {
			return err
		}
		b, err := os.ReadFile(path)
		page, text := strings.TrimPrefix(path, docs+"/"), string(b)
		for _, at := range fenced.FindAllStringSubmatchIndex(text, -1) {
			daemon := text[at[2]:at[3]]
			if above := heading.FindAllStringSubmatch(text[:at[0]], -1); daemon == "frr" || daemon == "bird" {
				all = append(all, block{page, above[len(above)-1][1], daemon, text[at[4]:at[5]]})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("%d blocks were found; the search is broken", len(all))
	}
	return all
}

func (b block) has(words ...string) bool {
	for _, w := range words {
		if strings.Contains(b.conf, w) {
			return true
		}
	}
	return false
}

// The addresses of the example in docs/bgp/routers.md.
var (
	docRouter = netip.MustParseAddr("192.168.1.1")
	docNodes  = []netip.Addr{netip.MustParseAddr("192.168.1.11"), netip.MustParseAddr("192.168.1.12")}
)

// TestDocs: each configuration of the docs is what a router takes, and does what it is there for.
func TestDocs(t *testing.T) {
	for _, b := range blocks(t) {
		if b.heading == sameHost {
			continue // TestSameHost runs it where it belongs
		}
		name := strings.ReplaceAll(b.page+"/"+b.heading, ",", "") // it becomes part of a path, in which mount minds commas
		t.Run(name, func(t *testing.T) {
			c := newCable(t)
			c.asInTheDocs()
			var show func(context.Context, string) (string, error)
			switch b.daemon {
			case "frr":
				show = c.frr(b.conf).Show
			case "bird":
				show = c.bird(b.conf).Show
			}
			e, d := newEngine(t), b.desired(c)
			for name := range d.Peers {
				e.allEstablished(d, name)
			}
			if b.has("bfd") {
				watched(t, c)
			}
			c.tells(e, b, d)
			if b.has("bfd") {
				c.looks(b.page, show)
			}
		})
	}
}

// looks runs the commands of a page by which people see what the router does; show is the router's own command for that.
func (c *cable) looks(page string, show func(context.Context, string) (string, error)) {
	c.t.Helper()
	seen := 0
	for line := range strings.Lines(strings.Join(render.Blocks(read(c.t, page), "sh"), "")) {
		command := strings.TrimSpace(line)
		var out string
		var err error
		if rest, vtysh := strings.CutPrefix(command, "vtysh -c '"); vtysh {
			out, err = show(c.t.Context(), strings.TrimSuffix(rest, "'"))
		} else if rest, birdc := strings.CutPrefix(command, "birdc show "); birdc {
			out, err = show(c.t.Context(), rest)
		} else if rest, kernel := strings.CutPrefix(command, "ip route show "); kernel {
			out = ip(c.t, append([]string{"-n", c.ns, "route", "show"}, strings.Fields(rest)...)...)
		} else {
			c.t.Errorf("nobody tries %q", command)
			continue
		}
		want := docNodes[0].String()
		if command == "birdc show protocols" { // it names no addresses
			want = "Established"
		}
		if err != nil || !strings.Contains(out, want) {
			c.t.Errorf("%s: %v, and no %s in\n%s", command, err, want, out)
		}
		seen++
	}
	if seen < 3 {
		c.t.Errorf("%s has %d commands; the search is broken", page, seen)
	}
}

// read returns a page of the docs.
func read(t *testing.T, page string) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocsExample: Belfry's side of the example is valid, and is what the routers of TestDocs talk to.
func TestDocsExample(t *testing.T) {
	blocks := render.Blocks(read(t, "bgp/routers.md"), "yaml")
	if len(blocks) == 0 {
		t.Fatal("docs/bgp/routers.md has no manifest")
	}
	objects, err := render.Decode([]byte(blocks[0]))
	if err != nil {
		t.Fatal(err)
	}
	var o spec.Objects
	password := ""
	into := func(object *unstructured.Unstructured, typed any) {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
			t.Fatal(err)
		}
	}
	for _, object := range objects {
		switch object.GetKind() {
		case "IPAddressPool":
			o.Pools = append(o.Pools, v1beta1.IPAddressPool{})
			into(object, &o.Pools[len(o.Pools)-1])
		case "BGPPeer":
			o.BGPPeers = append(o.BGPPeers, v1beta1.BGPPeer{})
			into(object, &o.BGPPeers[len(o.BGPPeers)-1])
		case "BGPAdvertisement":
			o.BGPAdvertisements = append(o.BGPAdvertisements, v1beta1.BGPAdvertisement{})
			into(object, &o.BGPAdvertisements[len(o.BGPAdvertisements)-1])
		case "Secret":
			password, _, _ = unstructured.NestedString(object.Object, "stringData", "password")
		}
	}
	snapshot, problems := spec.Parse(o)
	if len(problems) > 0 || len(snapshot.BGP.Peers) != 1 || len(snapshot.BGP.Advertisements) != 1 {
		t.Fatalf("%+v", problems)
	}
	peer, all := o.BGPPeers[0].Spec, block{conf: "password"}.desired(&cable{}).Peers["n0"].Session
	if uint32(peer.MyASN) != all.LocalASN || uint32(peer.PeerASN) != all.PeerASN || string(peer.PeerAddress) != all.Address.String() || password != all.Password ||
		(peer.EnableGracefulRestart != nil && *peer.EnableGracefulRestart) != all.GracefulRestart {
		t.Errorf("the docs have %+v with password %q, the tests %+v", peer, password, all)
	}
	if !snapshot.BGP.Advertisements[0].SelectsPeer(snapshot.BGP.Peers[0]) || !snapshot.Pools[0].Contains(netip.MustParseAddr("203.0.113.10")) {
		t.Errorf("203.0.113.10 is told to nobody: %+v", snapshot)
	}
}

// asInTheDocs gives both ends of the cable the addresses of the example.
func (c *cable) asInTheDocs() {
	c.t.Helper()
	for _, a := range docNodes {
		ip(c.t, "addr", "add", a.String()+"/24", "dev", c.dev)
	}
	ip(c.t, "addr", "add", "2001:db8:1::11/64", "dev", c.dev, "nodad")
	ip(c.t, "-n", c.ns, "addr", "add", docRouter.String()+"/24", "dev", "eth0")
	ip(c.t, "-n", c.ns, "addr", "add", "2001:db8:1::1/64", "dev", "eth0", "nodad")
}

// desired is two nodes as in the example, or one where there are no addresses, without routes.
func (b block) desired(c *cable) bgp.Desired {
	s := bgp.Session{
		LocalASN: 64500, PeerASN: 64501, HoldTime: 9 * time.Second, ConnectTime: 3 * time.Second, GracefulRestart: true,
		RouterID: docNodes[0], Interface: c.dev,
	}
	if b.has("eth0 interface", "fe80::/10") {
		return bgp.Desired{Peers: map[string]bgp.Peer{"n0": {Session: s}}}
	}
	s.Interface, s.Address, s.SourceInterface = "", docRouter, c.dev
	if b.has("password") {
		s.Password = "a-long-secret"
	}
	if b.has("ttl-security", "ttl security") {
		s.SecurityHops = 1
	}
	d := bgp.Desired{Peers: map[string]bgp.Peer{}}
	for i, node := range docNodes {
		s.SourceAddress, s.RouterID = node, node
		d.Peers[fmt.Sprintf("n%d", i)] = bgp.Peer{Session: s}
	}
	return d
}

func (e *engine) allEstablished(d bgp.Desired, name string) {
	e.t.Helper()
	eventually(e.t, "the session of "+name, func() error {
		if s := e.apply(d).Peers[name]; s.State != bgp.Established || s.Graceful == 0 {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
}

// watched waits until BFD is up on the paths of both nodes.
func watched(t *testing.T, c *cable) {
	t.Helper()
	e, err := bfd.New(bfd.Options{Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	d := bfd.Desired{Sessions: map[bfd.Path]bfd.Settings{}}
	for _, node := range docNodes {
		d.Sessions[bfd.Path{Peer: docRouter, Local: node, Interface: c.dev}] = bfd.Settings{
			MinTx: 300 * time.Millisecond, MinRx: 300 * time.Millisecond, Multiplier: 3,
		}
	}
	if _, err := e.Apply(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for path := range d.Sessions {
		eventually(t, fmt.Sprintf("BFD of %s is up", path.Local), func() error {
			if s := e.Running().Sessions[path]; s.State != bfd.Up {
				return fmt.Errorf("it is %+v", s)
			}
			return nil
		})
	}
}

// tells has all nodes announce: what the router's filter passes reaches its kernel, by all nodes; what it refuses does not.
func (c *cable) tells(e *engine, b block, d bgp.Desired) {
	c.t.Helper()
	passed, refused := []string{"203.0.113.10/32"}, []string{"198.51.100.9/32", "203.0.113.64/26"}
	if b.has("ipv6") {
		passed, refused = append(passed, "2001:db8:2::10/128"), append(refused, "2001:db8:9::9/128")
	}
	announce := func(prefixes ...string) {
		for name, p := range d.Peers {
			p.Routes = routes(prefixes...)
			d.Peers[name] = p
		}
		e.apply(d)
	}
	announce(append(refused, passed...)...)
	for _, prefix := range passed {
		eventually(c.t, prefix+" is in the router's kernel", func() error {
			if r := c.kernel()[strings.TrimSuffix(strings.TrimSuffix(prefix, "/32"), "/128")]; r.Gateway+r.Via.Host == "" && len(r.Nexthops) == 0 {
				return fmt.Errorf("routes %v", c.kernel())
			}
			return nil
		})
	}
	if b.has("maximum-paths", "merge paths") {
		eventually(c.t, "the router uses both nodes", func() error {
			if n := len(c.kernel()["203.0.113.10"].Nexthops); n != len(d.Peers) {
				return fmt.Errorf("%d next hops", n)
			}
			return nil
		})
	}
	announce(append(append(refused, passed...), "203.0.113.11/32")...)
	eventually(c.t, "what comes later is there", func() error {
		if _, there := c.kernel()["203.0.113.11"]; !there {
			return fmt.Errorf("routes %v", c.kernel())
		}
		return nil
	})
	for _, prefix := range refused {
		if r, there := c.kernel()[strings.TrimSuffix(strings.TrimSuffix(prefix, "/32"), "/128")]; there {
			c.t.Errorf("the filter lets %s pass: %+v", prefix, r)
		}
	}
}
