package harness

import (
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	f := NewFigures()
	for i := range 20 {
		f.Time("a way", time.Duration(20-i)*time.Millisecond)
		f.Count("lost", i%2)
	}
	f.Failure()
	var rows []string
	for l := range strings.Lines(f.String()) {
		rows = append(rows, strings.Join(strings.Fields(l), " "))
	}
	want := []string{"tries min ms median p95 max", "20 1 10 19 20 a way", "tries sum most", "20 10 1 lost", "1 tries failed"}
	if got := strings.Join(rows, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("%s", f)
	}
}
