package cli

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/belfry-lb/belfry/internal/explain"
)

func TestTable(t *testing.T) {
	tb := &table{titles: []string{"NAME", "STATE", "MORE"}, wide: 2}
	tb.add(cell{text: "a"}, cell{"gut", explain.OK}, cell{text: "x"})
	tb.add(cell{text: "länger"}, cell{}, cell{text: "y"})
	var narrow, wide, coloured bytes.Buffer
	for _, err := range []error{tb.writeTo(&narrow, style{}, false), tb.writeTo(&wide, style{}, true), tb.writeTo(&coloured, style{on: true}, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := "NAME     STATE\na        gut\nlänger   -\n"; narrow.String() != want {
		t.Errorf("got\n%swant\n%s", narrow.String(), want)
	}
	if !strings.Contains(wide.String(), "MORE") {
		t.Error(wide.String())
	}
	if !strings.Contains(coloured.String(), "\x1b[32mgut\x1b[0m") {
		t.Errorf("%q", coloured.String())
	}
}

func TestBar(t *testing.T) {
	for in, want := range map[[2]int64]string{{0, 0}: "░░░░", {0, 10}: "░░░░", {1, 100}: "█░░░", {5, 10}: "██░░", {10, 10}: "████", {11, 10}: "████"} {
		if got := bar(in[0], in[1], 4); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
}

// TestColours: for terminals only, and not for those who want none.
func TestColours(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), pipe.Close() }()
	for _, tc := range []struct {
		name, term, none string
		out              io.Writer
		want             bool
	}{
		{"a terminal", "xterm", "", terminal, true},
		{"NO_COLOR", "xterm", "1", terminal, false},
		{"a terminal without colours", "dumb", "", terminal, false},
		{"a pipe", "xterm", "", pipe, false},
		{"no file", "xterm", "", &bytes.Buffer{}, false},
	} {
		t.Setenv("TERM", tc.term)
		t.Setenv("NO_COLOR", tc.none)
		if got := styleFor(tc.out).on; got != tc.want {
			t.Errorf("%s: colours %t, want %t", tc.name, got, tc.want)
		}
	}
}
