package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	goTest = regexp.MustCompile(`go test .*?-(?:run|bench) '?([A-Za-z]+)'? .*?(\./[a-z0-9/]+)`)
	makes  = regexp.MustCompile("(?:^|[`\\s])make ([a-z][a-z0-9-]+)")
	target = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)
)

// The tests that the docs tell people to run are there.
func TestNamedTestsExist(t *testing.T) {
	found := 0
	for path, p := range pages(t) {
		for _, m := range goTest.FindAllStringSubmatch(p.text(), -1) {
			found++
			if !defined(t, m[2], m[1]) {
				t.Errorf("%s runs %s in %s, where no test or benchmark begins so", path, m[1], m[2])
			}
		}
	}
	if found < 3 {
		t.Errorf("%d commands were found; the search is broken", found)
	}
}

// text is all of the page, with lines joined that end in a backslash.
func (p page) text() string {
	var w strings.Builder
	for _, l := range p.lines {
		w.WriteString(l.text + "\n")
	}
	return strings.ReplaceAll(w.String(), "\\\n", " ")
}

func defined(t *testing.T, dir, prefix string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	decl := regexp.MustCompile(`(?m)^func (Test|Benchmark)?` + strings.TrimPrefix(strings.TrimPrefix(prefix, "Test"), "Benchmark"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if decl.Match(b) {
			return true
		}
	}
	return false
}

// So are the targets of the Makefile.
func TestNamedTargetsExist(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range target.FindAllStringSubmatch(string(b), -1) {
		targets[m[1]] = true
	}
	for path, p := range pages(t) {
		for _, l := range p.lines {
			code := l.code == "sh" || l.code == "console"
			if l.code != "" && !code {
				continue
			}
			for _, m := range makes.FindAllStringSubmatch(l.text, -1) {
				if quoted := strings.Contains(l.text, "`make "+m[1]); (code || quoted) && !targets[m[1]] {
					t.Errorf("%s says make %s, and the Makefile has no such target", path, m[1])
				}
			}
		}
	}
}
