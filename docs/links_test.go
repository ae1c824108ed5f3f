// Package docs tests the documentation: that links lead somewhere, that blocks can run, that the generated pages are fresh.
package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"sigs.k8s.io/yaml"
)

// root of the repository, seen from here.
const root = ".."

// page is a Markdown file.
type page struct {
	path  string
	lines []line
}

type line struct {
	text string
	code string // the language of the block that it stands in, "text" where the block names none; "" outside of blocks
}

var fence = regexp.MustCompile("^\\s*```([a-z]*)")

// pages returns every Markdown file of the repository by its path from the root.
func pages(t *testing.T) map[string]page {
	t.Helper()
	found := map[string]page{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "bin" || d.Name() == "dist" || d.Name() == ".git" || d.Name() == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, ".md") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found[rel] = parse(rel, string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 10 {
		t.Fatalf("%d pages were found; the search is broken", len(found))
	}
	return found
}

func parse(path, text string) page {
	p := page{path: path}
	code := ""
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\n")
		m := fence.FindStringSubmatch(l)
		switch {
		case m != nil && code != "":
			code = ""
		case m != nil:
			if code = m[1]; code == "" {
				code = "text"
			}
		default:
			p.lines = append(p.lines, line{l, code})
			continue
		}
		p.lines = append(p.lines, line{"```", ""})
	}
	return p
}

// blocks returns the texts of the page's blocks of one language.
func (p page) blocks(code string) (out []string) {
	var b strings.Builder
	for _, l := range append(p.lines, line{}) {
		if l.code == code {
			b.WriteString(l.text + "\n")
		} else if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
	}
	return out
}

var (
	linked  = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
)

// anchors are the names by which the page's headings can be linked to, as GitHub makes them.
func (p page) anchors() map[string]bool {
	names := map[string]bool{}
	for _, l := range p.lines {
		if m := heading.FindStringSubmatch(l.text); m != nil && l.code == "" {
			names[anchor(m[1])] = true
		}
	}
	return names
}

func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, title)
}

func TestLinksLeadSomewhere(t *testing.T) {
	all, links := pages(t), 0
	for path, p := range all {
		for _, target := range p.links() {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			file, name, _ := strings.Cut(target, "#")
			to := path
			if file != "" {
				to = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, target)
				continue
			}
			if dest, ok := all[to]; name != "" && ok && !dest.anchors()[name] {
				t.Errorf("%s links to %s, where no heading is called so", path, target)
			}
		}
	}
	if links < 10 {
		t.Errorf("%d links were found; the search is broken", links)
	}
}

// links returns the targets of the links.
func (p page) links() (out []string) {
	for _, l := range p.lines {
		if l.code != "" {
			continue
		}
		for _, m := range linked.FindAllStringSubmatch(l.text, -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// Whoever starts at the index comes to every page of the book.
func TestTheIndexLeadsToEveryPage(t *testing.T) {
	all := pages(t)
	seen := map[string]bool{}
	var walk func(path string)
	walk = func(path string) {
		p, ok := all[path]
		if !ok || seen[path] {
			return
		}
		seen[path] = true
		for _, target := range p.links() {
			file, _, _ := strings.Cut(target, "#")
			walk(filepath.Join(filepath.Dir(path), file))
		}
	}
	walk(filepath.Join("docs", "README.md"))
	for path := range all {
		if strings.HasPrefix(path, "docs") && !seen[path] {
			t.Errorf("no way leads from docs/README.md to %s", path)
		}
	}
}

// A page without headings is a wall: two screens of 60 lines are the most.
func TestNoPageIsAWall(t *testing.T) {
	for path, p := range pages(t) {
		if strings.HasPrefix(path, filepath.Join("docs", "reference")) {
			continue // tables, made by a program
		}
		since := 0
		for _, l := range p.lines {
			if since++; l.code == "" && heading.MatchString(l.text) {
				since = 0
			}
			if since > 120 {
				t.Errorf("%s has more than two screens without a heading, up to %q", path, l.text)
				break
			}
		}
	}
}

// What stands in a block of shell is shell, and what stands in a block of YAML is YAML. That the API server takes the
// objects among them is tested on the real cluster.
func TestBlocksParse(t *testing.T) {
	checked := 0
	for path, p := range pages(t) {
		for _, b := range p.blocks("sh") {
			checked++
			c := exec.Command("bash", "-n")
			c.Stdin = strings.NewReader(b)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: no shell: %s\n%s", path, out, b)
			}
		}
		for _, b := range p.blocks("yaml") {
			for doc := range strings.SplitSeq(b, "\n---\n") {
				checked++
				var v any
				if err := yaml.UnmarshalStrict([]byte(doc), &v); err != nil {
					t.Errorf("%s: no YAML: %v\n%s", path, err, doc)
				}
			}
		}
	}
	if checked < 5 {
		t.Errorf("%d blocks were found; the search is broken", checked)
	}
}

func TestAnchor(t *testing.T) {
	for title, want := range map[string]string{
		"Who announces":             "who-announces",
		"`helm test`, and more":     "helm-test-and-more",
		"A restart: not a failover": "a-restart-not-a-failover",
		"BGP/BFD":                   "bgpbfd",
	} {
		if got := anchor(title); got != want {
			t.Errorf("anchor(%q) = %q, want %q", title, got, want)
		}
	}
}
