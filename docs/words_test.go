package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A reason that the page of BGP's troubles names is one that Belfry gives, and so is each alert.
func TestTroublesAreNamedAsBelfryNamesThem(t *testing.T) {
	all := pages(t)
	known := map[string]bool{}
	for _, name := range []string{"reasons.md", "alerts.md"} {
		b, err := os.ReadFile(filepath.Join("reference", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("(?m)^\\| `?([A-Za-z]+)`? \\|").FindAllStringSubmatch(string(b), -1) {
			known[m[1]] = true
		}
	}
	named := regexp.MustCompile("`([A-Z][A-Za-z]+)`")
	found := 0
	for _, path := range []string{"docs/bgp/troubleshooting.md", "docs/bgp/coexistence.md", "docs/bgp/advertisements.md", "docs/monitoring.md"} {
		for _, l := range all[filepath.FromSlash(path)].lines {
			for _, m := range named.FindAllStringSubmatch(l.text, -1) {
				if word := m[1]; known[word] {
					found++
				} else if !fields[word] && !strings.HasPrefix(word, "Cilium") {
					t.Errorf("%s names %s, which is no reason and no alert", path, word)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d reasons and alerts were found; the search is broken", found)
	}
}

var waits = regexp.MustCompile(`kubectl wait --for=condition=(\S+) ([a-z]+)`)

// Whoever waits for a condition waits for one that there is.
func TestConditionsToWaitFor(t *testing.T) {
	found := 0
	for path, p := range pages(t) {
		for _, m := range waits.FindAllStringSubmatch(p.text(), -1) {
			found++
			condition, kind := m[1], m[2]
			if kind == "service" && strings.HasPrefix(condition, "belfry.dev/") {
				continue
			}
			b, err := os.ReadFile(filepath.Join("reference", kind+".md"))
			_, list, told := strings.Cut(string(b), "Conditions: ")
			list, _, _ = strings.Cut(list, "\n")
			if err != nil || !told || !regexp.MustCompile(`\b`+condition+`\b`).MatchString(list) {
				t.Errorf("%s waits for %s of a %s, which has %q: %v", path, condition, kind, list, err)
			}
		}
	}
	if found < 5 {
		t.Errorf("%d waits were found; the search is broken", found)
	}
}

// fields are words of objects, Belfry's and others', that are written like reasons.
var fields = map[string]bool{
	"Ready": true, "Established": true, "Watched": true, "Exhausted": true, "Unchecked": true, "Allocated": true, "Announced": true, "Local": true,
	"BGPPeer": true, "BGPConfiguration": true, "LoadBalancerIP": true, "SpeakerStatus": true, "ClientIP": true,
}
