package charts_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/belfry-lb/belfry/charts/render"
)

// rights is what somebody may do, one verb on one resource at a time, and the values without which not.
type rights map[string]string

// TestPermissionsAreDocumented: docs/security.md has each right of the chart's roles, with its reason, and no other.
func TestPermissionsAreDocumented(t *testing.T) {
	told := documented(t)
	always := granted(t)
	only := map[string]map[string]rights{}
	for value, set := range map[string]string{"quickstart.addresses": "quickstart.addresses=192.0.2.1", "metrics.secure": "metrics.secure=true"} {
		only[value] = granted(t, set)
	}
	for section, role := range map[string]string{
		"The controller": "belfry-controller", "The speaker": "belfry-speaker", "The test": "belfry-selftest",
		"Whoever looks": "belfry-viewer", "Whoever reads metrics": "belfry-metrics-reader",
	} {
		want := rights{}
		maps.Copy(want, always[role])
		for value, more := range only {
			for right := range more[role] {
				if _, without := always[role][right]; !without {
					want[right] = value
				}
			}
		}
		if len(want) == 0 {
			t.Errorf("the chart has no rules for %s", role)
		}
		if diff := cmp.Diff(want, told[section]); diff != "" {
			t.Errorf("%s (-roles of the chart +docs/security.md):\n%s", section, diff)
		}
		delete(told, section)
	}
	if len(told) > 0 {
		t.Errorf("docs/security.md has rights of nobody: %v", told)
	}
}

// granted returns the rights of each role of the chart, a ClusterRole and a Role of one name together.
func granted(t *testing.T, set ...string) map[string]rights {
	t.Helper()
	objects := chart(t, set...)
	out := map[string]rights{}
	for _, o := range objects {
		where := map[string]string{"ClusterRole": "the cluster", "Role": "its namespace"}[o.GetKind()]
		if where == "" {
			continue
		}
		if out[o.GetName()] == nil {
			out[o.GetName()] = rights{}
		}
		for _, r := range get[rbacv1.ClusterRole](t, objects, o.GetKind(), o.GetName()).Rules {
			for _, resource := range slices.Concat(r.Resources, r.NonResourceURLs) {
				for _, verb := range r.Verbs {
					out[o.GetName()][strings.Join(append([]string{verb, resource, "in", where}, r.ResourceNames...), " ")] = ""
				}
			}
		}
	}
	return out
}

var (
	permission = regexp.MustCompile(`^\| (.+) \| (.+) \| (the cluster|its namespace|Belfry's namespace) \| (.+) \|$`)
	quoted     = regexp.MustCompile("`([^`]+)`")
	onlyWith   = regexp.MustCompile("^only with `([^`]+)`: .")
)

// documented returns the rights that the page tells, by section.
func documented(t *testing.T) map[string]rights {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	out, section := map[string]rights{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if title, found := strings.CutPrefix(line, "## "); found {
			section = title
		}
		m := permission.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if out[section] == nil {
			out[section] = rights{}
		}
		what, name, named := strings.Cut(m[1], " named `")
		what, _, _ = strings.Cut(what, " of `")
		end := ""
		if named {
			end = " " + strings.TrimSuffix(name, "`")
		}
		condition := ""
		if c := onlyWith.FindStringSubmatch(m[4]); c != nil {
			condition = c[1]
		}
		where := strings.Replace(m[3], "Belfry's", "its", 1)
		for _, resource := range quoted.FindAllStringSubmatch(what, -1) {
			for verb := range strings.SplitSeq(m[2], ", ") {
				out[section][verb+" "+resource[1]+" in "+where+end] = condition
			}
		}
	}
	return out
}
