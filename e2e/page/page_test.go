// Package page looks at the page of `kubectl belfry ui` in a real browser with clusters that no lab is: empty ones, large
// ones, and ones with long names.
package page

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/harness"
	"github.com/belfry-lb/belfry/internal/explain"
)

// TestPictures draws made-up clusters, in light and dark and on screens of several widths: no text leaves its box, and
// nothing hangs over the page's edge. With BELFRY_SCREENSHOTS=DIR pictures are kept.
func TestPictures(t *testing.T) {
	for _, look := range []string{"light", "dark"} {
		b, err := harness.StartBrowser(t.Context(), os.Stderr, 1280, 1400, look == "dark")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
		for name, p := range map[string]explain.Picture{"empty": empty(), "small": cluster(3, 2, "n", "192.0.2."), "large": large(), "sick": sick()} {
			t.Run(look+" "+name, func(t *testing.T) { testPicture(t, b, p, look+"-"+name) })
		}
	}
}

func testPicture(t *testing.T, b *harness.Browser, p explain.Picture, name string) {
	if err := b.Go(serve(t, p)); err != nil {
		t.Fatal(err)
	}
	shown(t, b)
	for _, width := range []int{1280, 700} {
		if err := b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 1400, "deviceScaleFactor": 1, "mobile": false}, nil); err != nil {
			t.Fatal(err)
		}
		if drawn := eval(t, b, `document.querySelectorAll('svg [data-what^="node/"]').length`); drawn != fmt.Sprint(len(p.Nodes)) {
			t.Errorf("%s nodes are drawn, want %d", drawn, len(p.Nodes))
		}
		// The page is drawn anew when it has heard of its width.
		if wrong := eval(t, b, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done("+overflows+"))))"); wrong != "[]" {
			t.Errorf("out of their boxes: %s", wrong)
		}
		keep(t, b, fmt.Sprintf("%s-%d", name, width))
	}
}

// overflows lists the texts that leave the box that they are in, and what makes the page wider than the screen.
const overflows = `JSON.stringify([
  ...[...document.querySelectorAll('svg g[role=button]')].flatMap((g) => {
    const box = g.querySelector('rect').getBoundingClientRect();
    return [...g.querySelectorAll(':scope > text')].filter((t) => { const r = t.getBoundingClientRect(); return r.right > box.right || r.left < box.left || r.bottom > box.bottom + 1; }).map((t) => t.textContent);
  }),
  ...[...document.querySelectorAll('#pools li, #wrong li, td, header')].filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => e.textContent.slice(0, 60)),
  ...(document.documentElement.scrollWidth > innerWidth ? ['the page: ' + document.documentElement.scrollWidth] : []),
])`

// TestClickWhilePicturesCome: what is pressed is still there when it is let go, however often the cluster changes meanwhile.
func TestClickWhilePicturesCome(t *testing.T) {
	b, err := harness.StartBrowser(t.Context(), os.Stderr, 1280, 1400, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	asked := make(chan string, 1)
	url := serveWith(t, func(ctx context.Context, show func(explain.Picture)) {
		for p := cluster(3, 2, "n", "192.0.2."); ctx.Err() == nil; p.More++ {
			show(p)
			time.Sleep(5 * time.Millisecond)
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Query().Get("what"):
		default: // the page asks again with each picture
		}
		http.NotFound(w, r)
	})
	if err := b.Go(url); err != nil {
		t.Fatal(err)
	}
	shown(t, b)
	release, err := b.Press(`[data-what="node/n2"]`)
	if err != nil {
		t.Fatal(err)
	}
	const more = `new Promise((done) => { const n = state.picture.more; setInterval(() => { if (state.picture.more > n + 5) done('more'); }, 1); })`
	eval(t, b, more)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	select {
	case what := <-asked:
		if what != "node/n2" {
			t.Errorf("it asked for %s", what)
		}
	case <-time.After(time.Minute):
		t.Fatal("the click was lost")
	}
	eval(t, b, `new Promise((done) => { const was = document.querySelector('#summary').textContent; setInterval(() => { if (document.querySelector('#summary').textContent !== was) done('new'); }, 1); })`)
}

// serve is the page with this picture, and nothing to explain.
func serve(t *testing.T, p explain.Picture) string {
	t.Helper()
	return serveWith(t, func(ctx context.Context, show func(explain.Picture)) {
		show(p)
		<-ctx.Done()
	}, http.NotFound)
}

// serveWith is the page with pictures that come one after the other.
func serveWith(t *testing.T, pictures func(ctx context.Context, show func(explain.Picture)), why http.HandlerFunc) string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(filepath.Join(root, "internal", "cli", "page"))))
	mux.HandleFunc("/explain", why)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		pictures(r.Context(), func(p explain.Picture) {
			picture, err := json.Marshal(p)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "data: %s\n\n", picture)
			_ = http.NewResponseController(w).Flush()
		})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

func large() explain.Picture {
	return cluster(100, 4, "worker-node-with-a-long-name-", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:")
}

func eval(t *testing.T, b *harness.Browser, expression string) string {
	t.Helper()
	got, err := b.Eval(expression)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func shown(t *testing.T, b *harness.Browser) {
	t.Helper()
	for end := time.Now().Add(time.Minute); eval(t, b, `Boolean(document.querySelector('#live.on'))`) != "true"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the page does not follow: %s", eval(t, b, "document.body.innerText"))
		}
	}
}

func keep(t *testing.T, b *harness.Browser, name string) {
	t.Helper()
	dir := os.Getenv("BELFRY_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	if err := b.Screenshot(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".png")); err != nil {
		t.Error(err)
	}
}

func empty() explain.Picture {
	return explain.Picture{Pools: []explain.PicturePool{}, Nodes: []explain.PictureNode{}, Services: []explain.PictureService{}, Routers: []explain.PictureRouter{}}
}

// cluster is well: each node answers for some addresses and has a session with each router.
func cluster(nodes, routers int, name, prefix string) explain.Picture {
	p := explain.Picture{Controller: explain.PictureCount{Known: true, Good: 2, All: 2}, More: nodes}
	for r := range routers {
		p.Routers = append(p.Routers, explain.PictureRouter{Name: fmt.Sprintf("top-of-rack-router-%d", r+1), Text: "AS 4200000001 · [2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:179"})
	}
	for n := range nodes {
		node := explain.PictureNode{Name: fmt.Sprintf("%s%d", name, n+1), Version: "v1.2.3-rc.1", Interfaces: []string{"bond0.1234", "enp129s0f1np1", "br-provider"}, Addresses: []string{}}
		for i := range n % 14 {
			a := fmt.Sprintf("%s%d", prefix, n*14+i+1)
			node.Addresses = append(node.Addresses, a)
			p.Services = append(p.Services, explain.PictureService{Namespace: "a-namespace", Name: fmt.Sprintf("a-service-with-a-name-%d-%d", n, i), State: explain.OK, Addresses: []explain.PictureAddress{{Address: a, Pool: "datacenter", Nodes: []string{node.Name}}}})
		}
		for r := range p.Routers {
			p.Routers[r].Sessions = append(p.Routers[r].Sessions, explain.PictureSession{Node: node.Name, State: "Established", Established: true})
		}
		p.Nodes = append(p.Nodes, node)
	}
	ranges := []string{}
	for i := range 12 {
		ranges = append(ranges, fmt.Sprintf("%s%d-%s%d", prefix, i*10+1, prefix, i*10+9))
	}
	p.Pools = []explain.PicturePool{{Name: "datacenter", Ranges: ranges, Used: 12345, Share: .42, Free: "65535 IPv4 free, ∞ IPv6 free"}, {Name: "edge", Ranges: ranges[:1], Used: 9, Share: .95, Free: "1 IPv4 free"}}
	return p
}

// sick has something wrong of each kind.
func sick() explain.Picture {
	p := cluster(5, 2, "n", "192.0.2.")
	p.Controller.Good = 0
	p.Nodes[1].Reason, p.Nodes[1].Why = "SpeakerNotReady", "the node's speaker is starting, or about to leave"
	p.Routers[0].Sessions[2] = explain.PictureSession{Node: "n3", State: "Connecting", Reason: "PasswordMismatchSuspected"}
	p.Pools[1].Wrong, p.Pools[1].Free = "192.0.2.1-192.0.2.9 overlaps 192.0.2.0/28 of pool datacenter, which is older: nothing is assigned from this pool until one lets go of it", ""
	p.Pools[0].Share = 1
	for i := range 30 {
		p.Services = append([]explain.PictureService{{
			Namespace: "default", Name: fmt.Sprintf("pending-%d", i), State: explain.Broken, Reason: "PoolExhausted", Text: "every IPv4 address of pool datacenter is in use", Addresses: []explain.PictureAddress{},
		}}, p.Services...)
	}
	return p
}
