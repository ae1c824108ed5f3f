package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/charts/render"
)

// The tests that run commands and apply manifests see every block of a page, also those in lists.
func TestBlocksAreSeen(t *testing.T) {
	all := 0
	for path := range pages(t) {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range []string{"sh", "yaml"} {
			began := len(regexp.MustCompile("(?m)^[ \t]*```"+info+"[ \t]*$").FindAll(b, -1))
			if seen := len(render.Blocks(string(b), info)); seen != began {
				t.Errorf("%s: %d blocks of %s are seen, %d begin", path, seen, info, began)
			}
			all += began
		}
	}
	if all < 50 {
		t.Errorf("%d blocks were found; the search is broken", all)
	}
}

// A block that is indented in place of fenced says of itself neither what it is nor that it is one: no test sees it.
func TestNoBlockIsIndented(t *testing.T) {
	list := regexp.MustCompile(`^\s*([-*]|[0-9]+\.) `)
	for path, p := range pages(t) {
		blank, inList := false, false
		for i, l := range p.lines {
			if l.code != "" {
				continue
			}
			indented := strings.HasPrefix(l.text, "    ")
			if list.MatchString(l.text) {
				inList = true
			} else if l.text != "" && !strings.HasPrefix(l.text, " ") {
				inList = false
			}
			if indented && blank && !inList {
				t.Errorf("%s:%d: a block is indented, not fenced: %s", path, i+1, l.text)
			}
			blank = l.text == ""
		}
	}
}

// The chart's README tells the very commands of the quickstart, which are run.
func TestChartReadmeTellsWhatIsTried(t *testing.T) {
	commands := func(path string) (list []string) {
		b, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range render.Blocks(string(b), "sh") {
			for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
				list = append(list, strings.Join(strings.Fields(line), " "))
			}
		}
		return list
	}
	tried := commands(filepath.Join("docs", "quickstart.md"))
	told := commands(filepath.Join("charts", "belfry", "README.md"))
	for _, command := range told {
		if !slices.Contains(tried, command) {
			t.Errorf("docs/quickstart.md does not tell %q", command)
		}
	}
	if len(told) < 4 {
		t.Errorf("%d commands were found; the search is broken", len(told))
	}
}
