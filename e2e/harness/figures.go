package harness

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Figures are what was measured again and again, by what it is.
type Figures struct {
	times  map[string][]time.Duration
	counts map[string][]int
	failed int
}

// NewFigures returns an empty table.
func NewFigures() *Figures {
	return &Figures{times: map[string][]time.Duration{}, counts: map[string][]int{}}
}

// Time takes down how long something took, Count how often something happened, Failure that a try failed.
func (f *Figures) Time(what string, d time.Duration) { f.times[what] = append(f.times[what], d) }
func (f *Figures) Count(what string, n int)          { f.counts[what] = append(f.counts[what], n) }
func (f *Figures) Failure()                          { f.failed++ }

// Table writes them: the spread of the times in milliseconds, the sums of the counts, and how many tries failed.
func (f *Figures) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "tries\tmin ms\tmedian\tp95\tmax\t\n")
	for _, what := range slices.Sorted(maps.Keys(f.times)) {
		all := slices.Sorted(slices.Values(f.times[what]))
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t  %s\n", len(all), all[0].Milliseconds(), quantile(all, 50), quantile(all, 95), all[len(all)-1].Milliseconds(), what)
	}
	fmt.Fprint(t, "tries\tsum\t\tmost\t\t\n")
	for _, what := range slices.Sorted(maps.Keys(f.counts)) {
		sum := 0
		for _, n := range f.counts[what] {
			sum += n
		}
		fmt.Fprintf(t, "%d\t%d\t\t%d\t\t  %s\n", len(f.counts[what]), sum, slices.Max(f.counts[what]), what)
	}
	fmt.Fprintf(t, "\t%d\t\t\t\t  tries failed\n", f.failed)
	return t.Flush()
}

// quantile returns, in milliseconds, the smallest value that so many percent of all do not exceed.
func quantile(sorted []time.Duration, percent int) int64 {
	return sorted[(len(sorted)*percent+99)/100-1].Milliseconds()
}

func (f *Figures) String() string {
	var b strings.Builder
	_ = f.Table(&b) // a Builder takes everything
	return b.String()
}
