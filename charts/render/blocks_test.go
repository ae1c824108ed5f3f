package render

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBlocks(t *testing.T) {
	const text = "Do\n\n```sh\na \\\n  b\n```\n\n1. and\n\n   ```sh\n   c\n\n     d\n   ```\n\n```yaml values\nsh: ```sh\n```\n\t```sh\n\te\n\t```\n```yaml\nf: 1\n```\n"
	for info, want := range map[string][]string{
		"sh":          {"a \\\n  b\n", "c\n\n  d\n", "e\n"},
		"yaml":        {"f: 1\n"},
		"yaml values": {"sh: ```sh\n"},
		"json":        nil,
	} {
		if diff := cmp.Diff(want, Blocks(text, info)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", info, diff)
		}
	}
}
