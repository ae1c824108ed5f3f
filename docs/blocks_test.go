package docs

import (
	"os"
	"path/filepath"
	"regexp"
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
