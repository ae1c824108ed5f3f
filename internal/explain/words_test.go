package explain

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/internal/spec"
)

// TestEveryReasonHasWords reads the sources: a reason that somebody adds without saying what it means and what to do about
// it is found here.
func TestEveryReasonHasWords(t *testing.T) {
	found := 0
	for _, dir := range []string{"../spec", "../alloc", "../plan", ".", "../../speaker/l2", "../../speaker/bgp"} {
		for name, reason := range reasonsIn(t, dir) {
			found++
			w, ok := WordsFor(reason)
			if !ok {
				t.Errorf("%s (%s in %s) is not in the vocabulary", reason, name, dir)
				continue
			}
			if w.Means == "" || !strings.HasSuffix(w.Do, ".") || strings.HasSuffix(w.Means, ".") {
				t.Errorf("%s: the meaning is %q, the remedy %q: a phrase and a sentence are wanted", reason, w.Means, w.Do)
			}
		}
	}
	if found < 60 {
		t.Errorf("only %d reasons were found: does the test still see the constants?", found)
	}
}

// TestNoWordsForNothing: words for a reason that is gone go with it.
func TestNoWordsForNothing(t *testing.T) {
	exists := map[spec.Reason]bool{}
	for _, dir := range []string{"../spec", "../alloc", "../plan", ".", "../../speaker/l2", "../../speaker/bgp"} {
		for _, reason := range reasonsIn(t, dir) {
			exists[reason] = true
		}
	}
	for reason := range vocabulary() {
		if !exists[reason] {
			t.Errorf("%s is in the vocabulary, and nobody gives it as a reason", reason)
		}
	}
}

// reasonsIn returns the constants of a package whose type is a reason, by name.
func reasonsIn(t *testing.T, dir string) map[string]spec.Reason {
	t.Helper()
	out := map[string]spec.Reason{}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, s := range g.Specs {
					add(out, s.(*ast.ValueSpec))
				}
			}
		}
	}
	return out
}

func add(out map[string]spec.Reason, v *ast.ValueSpec) {
	if !isReason(v.Type) {
		return
	}
	for i, name := range v.Names {
		if l, ok := v.Values[i].(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil && s != "" {
				out[name.Name] = spec.Reason(s)
			}
		}
	}
}

// isReason knows spec.Reason, and the Reason and Problem of packages that may not import it.
func isReason(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "Reason" || e.Name == "Problem"
	case *ast.SelectorExpr:
		return e.Sel.Name == "Reason"
	}
	return false
}
