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

// fields are words of objects, Belfry's and others', that are written like reasons.
var fields = map[string]bool{
	"Ready": true, "Established": true, "Exhausted": true, "Unchecked": true, "Allocated": true, "Announced": true, "Local": true,
	"BGPPeer": true, "BGPConfiguration": true, "LoadBalancerIP": true, "SpeakerStatus": true, "ClientIP": true,
}
