package cli

import (
	"bytes"
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
