package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// TestPage looks at the page of `kubectl belfry ui` with a real browser: it shows the cluster as it is and follows it, a
// click explains, nothing comes from elsewhere, in light and dark. With BELFRY_SCREENSHOTS=DIR pictures of it are kept.
func TestPage(t *testing.T) {
	for _, look := range []string{"light", "dark"} {
		t.Run(look, func(t *testing.T) {
			s := newScene(t)
			a := s.service(1, "seen", "web", "", 80)[0]
			node := fmt.Sprintf("n%d", s.Owner(a))
			b := s.browse(look == "dark")
			s.shows(b, "the Service", `document.querySelector('#services').innerText.includes('default/seen')`)
			s.shows(b, "all nodes", `['n1', 'n2', 'n3'].every((n) => document.querySelector('[data-what="node/' + n + '"]'))`)
			s.shows(b, "the address on its node", fmt.Sprintf(`document.querySelector('[data-what="node/%s"]').parentNode.querySelector('[data-what="ip/%s"]')`, node, a))
			s.shows(b, "the pool's bar", `document.querySelector('#pools progress').value > 0`)
			s.clicks(b, fmt.Sprintf(`[data-what="ip/%s"]`, a), "why", fmt.Sprintf(`document.querySelector('#why').innerText.includes('%s is announced by node %s')`, a, node))
			s.keep(b, look+"-why")
			s.clicks(b, "#close", "no explanation", `document.querySelector('#why').hidden`)

			s.Apply(harness.Service("unseen", "nobody", "", 80))
			s.shows(b, "a Service that is new, and what is wrong with it", `document.querySelector('#wrong').innerText.includes('Service default/unseen — NoEndpoints')`)
			s.clicks(b, `#wrong [data-what="svc/default/unseen"]`, "why", `document.querySelector('#why').innerText.includes('no pod of the Service is ready')`)
			s.keep(b, look+"-wrong")
			s.shows(b, "that filter", `(() => { const f = document.querySelector('#filter'); f.value = 'unseen'; f.dispatchEvent(new Event('input')); return document.querySelectorAll('#services tr').length === 1; })()`)

			scheme, err := b.Eval(`getComputedStyle(document.body).backgroundColor`)
			s.Must(err)
			if (look == "dark") != (scheme == "rgb(20, 25, 26)") {
				t.Errorf("in %s the background is %s", look, scheme)
			}
			s.nothingFromElsewhere(b)
		})
	}
}

// browse starts the page and a browser that looks at it.
func (s *scene) browse(dark bool) *harness.Browser {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Ctx)
	cmd := s.plugin().Look(ctx, "ui")
	out, err := cmd.StdoutPipe()
	s.Must(err)
	s.Must(cmd.Start())
	s.Cleanup(func() { cancel(); _ = cmd.Wait() })
	url, err := bufio.NewReader(out).ReadString('\n')
	s.Must(err)
	b, err := harness.StartBrowser(s.Ctx, os.Stderr, 1280, 900, dark)
	s.Must(err)
	s.Cleanup(func() { s.Must(b.Close()) })
	s.Must(b.Go(strings.TrimSpace(url)))
	return b
}

// clicks waits until a click has made an expression true in the page. What moves in that moment is missed, by a machine as by
// a hand, so that it clicks again.
func (s *scene) clicks(b *harness.Browser, selector, what, expression string) {
	s.Helper()
	const patience = 5 * time.Second // with a click
	var clicked time.Time
	s.Eventually("the page to show "+what, func() error {
		if time.Since(clicked) > patience {
			if err := b.Click(selector); err != nil {
				return err
			}
			clicked = time.Now()
		}
		return isTrue(b, expression)
	})
}

// shows waits until an expression is true in the page.
func (s *scene) shows(b *harness.Browser, what, expression string) {
	s.Helper()
	s.Eventually("the page to show "+what, func() error { return isTrue(b, expression) })
}

func isTrue(b *harness.Browser, expression string) error {
	got, err := b.Eval("Boolean(" + expression + ")")
	if err == nil && got != "true" {
		text, _ := b.Eval("document.body.innerText")
		err = fmt.Errorf("it shows\n%s", text)
	}
	return err
}

// nothingFromElsewhere: the page asks its own server and nobody else.
func (s *scene) nothingFromElsewhere(b *harness.Browser) {
	s.Helper()
	text, err := b.Eval(`JSON.stringify([location.origin, ...performance.getEntriesByType('resource').map((e) => new URL(e.name).origin)])`)
	s.Must(err)
	var origins []string
	s.Must(json.Unmarshal([]byte(text), &origins))
	for _, o := range origins[1:] {
		if o != origins[0] {
			s.Errorf("the page of %s asks %s", origins[0], o)
		}
	}
	if len(origins) < 4 {
		s.Errorf("the page has asked for %v only", origins)
	}
}

func (s *scene) keep(b *harness.Browser, name string) {
	s.Helper()
	dir := os.Getenv("BELFRY_SCREENSHOTS")
	if dir == "" {
		dir = s.TempDir()
	}
	file := filepath.Join(dir, name+".png")
	s.Must(b.Screenshot(file))
	if info, err := os.Stat(file); err != nil || info.Size() < 10_000 {
		s.Errorf("the picture is empty: %v %v", info, err)
	}
}
