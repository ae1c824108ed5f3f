package archtest

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Check reads the module in fsys and returns what breaks the rules, one line for each: "file:line: …". Nested modules and
// directories named testdata or beginning with a dot are no part of it.
func Check(fsys fs.FS) ([]string, error) {
	var found []string
	bgp := map[string]bool{} // directories that import gobgp
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return enter(fsys, name)
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		f, err := parse(name, src)
		if err != nil {
			return err
		}
		if f != nil {
			found = append(found, f.check()...)
			bgp[f.dir] = bgp[f.dir] || f.importsGoBGP()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the sources: %w", err)
	}
	return append(found, several(bgp)...), nil
}

// enter returns fs.SkipDir for directories that are no part of the module.
func enter(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if base == "testdata" || dir == "bin" || strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func several(bgp map[string]bool) []string {
	var dirs []string
	for dir, imports := range bgp {
		if imports {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) < 2 {
		return nil
	}
	slices.Sort(dirs)
	return []string{fmt.Sprintf("%s: only one package may import %s", strings.Join(dirs, ", "), gobgp)}
}

// file is a source file with its imports by the name that they have in it.
type file struct {
	name, dir string
	isTest    bool
	set       *token.FileSet
	ast       *ast.File
	named     map[string]string // name in the file → import path
}

// parse returns nil for files that are never compiled: those that a tag like ignore or tools keeps out.
func parse(name string, src []byte) (*file, error) {
	f := &file{
		name: name, dir: path.Dir(name), isTest: strings.HasSuffix(name, "_test.go"),
		set: token.NewFileSet(), named: map[string]string{},
	}
	var err error
	if f.ast, err = parser.ParseFile(f.set, name, src, parser.ParseComments|parser.SkipObjectResolution); err != nil {
		return nil, err
	}
	if f.neverBuilt() {
		return nil, nil
	}
	for _, i := range f.ast.Imports {
		p := pathOf(i)
		n := guess(p)
		if i.Name != nil {
			n = i.Name.Name
		}
		f.named[n] = p
	}
	return f, nil
}

func (f *file) neverBuilt() bool {
	for _, group := range f.ast.Comments {
		for _, c := range group.List {
			if c.Pos() > f.ast.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				return false
			}
			always := expr.Eval(func(string) bool { return true })
			without := expr.Eval(func(tag string) bool { return tag != "ignore" && tag != "tools" && tag != "deps" })
			return always && !without
		}
	}
	return false
}

func pathOf(i *ast.ImportSpec) string {
	p, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return i.Path.Value // the parser has let it through, so this does not happen
	}
	return p
}

// guess returns the name that a package most likely has: the last element of its path that is no major version. Packages
// that are looked for by name (time, fmt, os, metav1 without a name) all follow that rule or are named in the import.
func guess(p string) string {
	base := path.Base(p)
	if n, err := strconv.Atoi(strings.TrimPrefix(base, "v")); err == nil && n > 1 {
		base = path.Base(path.Dir(p))
	}
	return base
}

func (f *file) importsGoBGP() bool {
	return slices.ContainsFunc(f.ast.Imports, func(i *ast.ImportSpec) bool { return within(pathOf(i), gobgp) })
}

func (f *file) say(at token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", f.name, f.set.Position(at).Line, fmt.Sprintf(format, args...))
}

func (f *file) check() []string {
	r, known := roomOf(f.dir)
	if !known {
		return []string{f.say(f.ast.Package, "package %s has no room in the house: put it into the table of internal/archtest", f.dir)}
	}
	var found []string
	for _, i := range f.ast.Imports {
		if complaint := f.checkImport(r, pathOf(i)); complaint != "" {
			found = append(found, f.say(i.Pos(), "%s", complaint))
		}
	}
	return append(found, f.checkUses(r)...)
}

// checkImport returns "" for an import that is allowed. Tests of a package obey its directions, but may use whatever else
// they need to test it.
func (f *file) checkImport(r room, p string) string {
	switch {
	case within(p, module):
		return f.checkOwn(r, strings.TrimPrefix(strings.TrimPrefix(p, module), "/"))
	case within(p, gobgp) && !within(f.dir, gobgpRoom):
		return fmt.Sprintf("%s may be imported in %s only", gobgp, gobgpRoom)
	case r.kind == wire && kubernetes(p):
		return fmt.Sprintf("%s speaks to the wire and knows nothing of Kubernetes, but imports %s", r.path, p)
	case f.isTest:
		return ""
	case r.kind == pure && !pureImports(p):
		return fmt.Sprintf("%s is pure, but imports %s: it is not among what pure packages may import", r.path, p)
	case r.kind == types && !typeImports(p):
		return fmt.Sprintf("%s holds types, but imports %s: only k8s.io/api and k8s.io/apimachinery are allowed", r.path, p)
	}
	return ""
}

func (f *file) checkOwn(r room, dir string) string {
	o, known := roomOf(dir)
	switch {
	case !known:
		return fmt.Sprintf("imports %s, which has no room in the house", dir)
	case f.isTest && o.aid:
		return ""
	case !r.mayImport(o):
		return fmt.Sprintf("%s (floor %d) must not import %s (floor %d)", r.path, r.floor, dir, o.floor)
	}
	return ""
}

// checkUses looks for what no import gives away: clocks, goroutines and channels in pure packages, os.Exit anywhere but
// in programs, and tests that sleep on the real clock.
func (f *file) checkUses(r room) []string {
	if r.kind == test {
		return nil
	}
	var found []string
	ast.Inspect(f.ast, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			found = append(found, f.checkSelector(r, n)...)
		case *ast.GoStmt:
			found = append(found, f.impure(r, n, "starts a goroutine")...)
		case *ast.ChanType:
			found = append(found, f.impure(r, n, "has a channel")...)
		}
		return true
	})
	return found
}

func (f *file) checkSelector(r room, s *ast.SelectorExpr) []string {
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return nil
	}
	p := f.named[x.Name]
	if f.isTest {
		return f.checkSleep(s, p)
	}
	if slices.Contains(impure(p), s.Sel.Name) {
		return f.impure(r, s, fmt.Sprintf("uses %s.%s", x.Name, s.Sel.Name))
	}
	if p == "os" && s.Sel.Name == "Exit" && r.kind != program {
		return []string{f.say(s.Pos(), "only programs in cmd may call os.Exit")}
	}
	return nil
}

// checkSleep lets tests sleep on the fake clock of synctest only: on the real one they are slow, or wrong on a busy machine.
// Against a real API server there is nothing but to look again.
func (f *file) checkSleep(s *ast.SelectorExpr, p string) []string {
	if p != "time" || s.Sel.Name != "Sleep" || f.named["synctest"] == "testing/synctest" || path.Base(f.dir) == "integration" {
		return nil
	}
	return []string{f.say(s.Pos(), "tests wait for a condition, or sleep on the clock of testing/synctest")}
}

func (f *file) impure(r room, n ast.Node, what string) []string {
	if r.kind != pure || f.isTest {
		return nil
	}
	return []string{f.say(n.Pos(), "%s is pure, but %s", r.path, what)}
}
