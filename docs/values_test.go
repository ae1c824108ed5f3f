package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The values of the chart, as its README has them, which is made from values.yaml.
func TestValuesReference(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "charts", "belfry", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "<!-- Values: generated from values.yaml by make generate. -->\n")
	table, _, ended := strings.Cut(rest, "<!-- End of the values. -->")
	if !found || !ended || strings.Count(table, "\n| `") < 30 {
		t.Fatal("the README of the chart has no table of values")
	}
	fresh(t, "values.md", "# Values of the chart\n\nWhat `helm install --set` and a file of values can say; wrong values are refused by the chart's schema. "+
		"[Installing](../install.md)\ntells which of them matter.\n\n"+strings.TrimSpace(table)+"\n")
}
