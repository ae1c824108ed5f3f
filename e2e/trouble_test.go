package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// plugin builds kubectl belfry; after the first time that takes a moment.
func (s *scene) plugin() *harness.Plugin {
	s.Helper()
	p, err := harness.BuildPlugin(s.Ctx, lab)
	s.Must(err)
	return p
}

// trouble is one of the troubles of docs/troubleshooting.md, made in the lab.
type trouble struct {
	command string // as the page has it
	make    func(*scene)
}

func troubles() []trouble {
	lone := func(name, extra string) string { // a pool of one address, for those who name it
		return fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: %s}
spec: {autoAssign: false, addresses: [%s], %s}
---
`, name, lab.Addr4(190), extra)
	}
	advert := func(name, spec string) string {
		return fmt.Sprintf("apiVersion: belfry.dev/v1beta1\nkind: L2Advertisement\nmetadata: {name: %[1]s}\nspec: {ipAddressPools: [%[1]s], %[2]s}\n---\n", name, spec)
	}
	asking := func(name, app, annotation, value, spec string, ports ...int) string {
		return strings.Replace(harness.Service(name, app, spec, ports...), "  name: "+name+"\n", fmt.Sprintf("  name: %s\n  annotations: {%s: %q}\n", name, annotation, value), 1) + "\n---\n"
	}
	return []trouble{
		{"explain svc/second", func(s *scene) {
			s.Apply(lone("small", "") + asking("first", "web", "belfry.dev/pool", "small", "", 80))
			s.Addresses("first", 1)
			s.Apply(asking("second", "web", "belfry.dev/pool", "small", "", 80))
		}},
		{"explain svc/wish", func(s *scene) { s.Apply(asking("wish", "web", "belfry.dev/ips", "203.0.113.7", "", 80)) }},
		{"explain svc/foreign", func(s *scene) {
			s.Apply(harness.Service("foreign", "web", "loadBalancerClass: example.com/other", 80))
		}},
		{"explain svc/unheard", func(s *scene) {
			s.Apply(lone("quiet", "") + asking("unheard", "web", "belfry.dev/pool", "quiet", "", 80))
		}},
		{"explain svc/nopods", func(s *scene) { s.Apply(harness.Service("nopods", "typo", "", 80)) }},
		{"explain svc/nowhere", func(s *scene) {
			s.Apply(lone("eth9", "") + advert("eth9", "interfaces: [eth9]") + asking("nowhere", "web", "belfry.dev/pool", "eth9", "", 80))
		}},
		{"explain svc/drained", func(s *scene) {
			s.Apply(lone("one", "") + advert("one", "nodeSelectors: [{matchLabels: {kubernetes.io/hostname: n2}}]") + asking("drained", "web", "belfry.dev/pool", "one", "", 80))
			s.drained("n2")
		}},
		{"explain svc/local", func(s *scene) {
			s.Apply(lone("near", "") + advert("near", "nodeSelectors: [{matchLabels: {kubernetes.io/hostname: n2}}]") + harness.WebElsewhere("far", "n2") +
				"---\n" + asking("local", "far", "belfry.dev/pool", "near", "externalTrafficPolicy: Local", 80))
			s.Must(harness.AwaitDeployment(s.Ctx, lab, "default", "far"))
		}},
		{"explain svc/clash", func(s *scene) {
			share := func(name string) string {
				return strings.Replace(asking(name, "web", "belfry.dev/ips", lab.Addr4(239).String(), "", 80), "annotations: {", "annotations: {belfry.dev/sharing-key: k, ", 1)
			}
			s.Apply(share("holder"))
			s.Addresses("holder", 1)
			s.Apply(share("clash"))
		}},
		{"explain pool/young", func(s *scene) {
			s.Apply(fmt.Sprintf("apiVersion: belfry.dev/v1beta1\nkind: IPAddressPool\nmetadata: {name: young}\nspec: {addresses: [%s-%s]}\n", lab.Addr4(239), lab.Addr4(242)))
		}},
	}
}

// drained drains a node, and undrains it when the test is over.
func (s *scene) drained(node string) {
	s.Helper()
	p := s.plugin()
	out, code, err := harness.Output(p.Do(s.Ctx, "drain", node))
	s.Must(err)
	if code != 0 || !strings.Contains(out, node+" announces nothing") {
		s.Fatalf("drain ended with %d: %s", code, out)
	}
	s.Cleanup(func() {
		if out, code, err := harness.Output(p.Do(context.Background(), "undrain", node)); code != 0 || err != nil {
			s.Errorf("undrain ended with %d, %v: %s", code, err, out)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err := harness.Eventually(ctx, node+" to announce again", func(ctx context.Context) error {
			out, _, err := harness.Output(p.Look(ctx, "explain", "node/"+node))
			if err == nil && !strings.HasPrefix(out, "✓") {
				err = fmt.Errorf("it is not well:\n%s", out)
			}
			return err
		})
		if err != nil {
			s.Error(err)
		}
	})
}

// TestTroubles makes each trouble of the page and compares what a user sees, who may only look, with what the page says.
func TestTroubles(t *testing.T) {
	blocks := troubleshooting(t)
	for _, tr := range troubles() {
		want, ok := blocks[tr.command]
		if !ok {
			t.Errorf("docs/troubleshooting.md has no `$ kubectl belfry %s`", tr.command)
			continue
		}
		delete(blocks, tr.command)
		t.Run(tr.command, func(t *testing.T) {
			s := newScene(t)
			p := s.plugin()
			tr.make(s)
			s.Eventually("what docs/troubleshooting.md says", func() error {
				out, _, err := harness.Output(p.Look(s.Ctx, strings.Fields(tr.command)...))
				if err == nil {
					err = holdsInOrder(anyAddress(out), want)
				}
				return err
			})
		})
	}
	for command := range blocks {
		t.Errorf("docs/troubleshooting.md promises what `kubectl belfry %s` prints, and nothing tests it", command)
	}
}

// troubleshooting returns the lines that the page promises, by command.
func troubleshooting(t *testing.T) map[string][]string {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string][]string{}
	for _, b := range regexp.MustCompile("(?s)```console\n\\$ kubectl belfry (explain [^\n]*)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for l := range strings.SplitSeq(strings.TrimSpace(b[2]), "\n") {
			if l = strings.TrimSpace(l); l != "" && l != "…" {
				blocks[b[1]] = append(blocks[b[1]], anyAddress(l))
			}
		}
	}
	if len(blocks) < 10 {
		t.Fatalf("the page has %d troubles only", len(blocks))
	}
	return blocks
}

// anyAddress makes the addresses of the page and of the lab alike.
func anyAddress(text string) string {
	return regexp.MustCompile(`\b\d+\.\d+\.\d+\.\d+\b`).ReplaceAllString(text, "ADDRESS")
}

// holdsInOrder: lines that begin so are in the text, in this order.
func holdsInOrder(text string, lines []string) error {
	rest := slices.Collect(strings.SplitSeq(text, "\n"))
	for _, l := range lines {
		i := slices.IndexFunc(rest, func(r string) bool { return strings.HasPrefix(strings.TrimSpace(r), l) })
		if i < 0 {
			return fmt.Errorf("%q is not where it should be in\n%s", l, text)
		}
		rest = rest[i+1:]
	}
	return nil
}

// TestLookingNeedsNoMore: all reading commands work for a user who may do what belfry-viewer allows, and those that write
// say what is missing.
func TestLookingNeedsNoMore(t *testing.T) {
	s := newScene(t)
	p := s.plugin()
	for _, args := range [][]string{
		{"status"}, {"pools"}, {"services", "-A"}, {"speakers", "-o", "wide"}, {"peers"}, {"routes"}, {"bfd"}, {"explain", "node/n1"}, {"explain", "pool/lan"},
		{"plan", "--delete", "node/n1", "-o", "json"}, {"drain", "n1", "--dry-run"}, {"report", "-f", filepath.Join(t.TempDir(), "r.tar")},
	} {
		out, code, err := harness.Output(p.Look(s.Ctx, args...))
		if code == 1 || err != nil || strings.Contains(out, "forbidden") {
			t.Errorf("%v ended with %d, %v:\n%s", args, code, err, out)
		}
	}
	out, _, err := harness.Output(p.Look(s.Ctx, "doctor"))
	if err != nil || strings.Contains(out, "Not looked at") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	out, code, err := harness.Output(p.Look(s.Ctx, "drain", "n1"))
	if code != 1 || err != nil || !strings.Contains(out, "drain needs the right to patch nodes (n1), which you do not have; nothing was changed") {
		t.Errorf("drain by one who may not ended with %d, %v: %s", code, err, out)
	}
	s.drained("n1")
	out, code, err = harness.Output(p.Look(s.Ctx, "undrain", "n1"))
	if code != 1 || err != nil || !strings.Contains(out, "undrain needs the right to patch nodes (n1), which you do not have; nothing was changed") {
		t.Errorf("undrain by one who may not ended with %d, %v: %s", code, err, out)
	}
}
