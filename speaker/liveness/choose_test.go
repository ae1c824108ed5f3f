package liveness

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProbers(t *testing.T) {
	for _, tc := range []struct {
		name       string
		successors [][]string
		want       []string
	}{
		{"nothing owned", nil, nil},
		{"no successor", [][]string{{}}, nil},
		{"one address", [][]string{{"b", "c", "d", "e"}}, []string{"b", "c", "d"}},
		{"firsts before seconds", [][]string{{"b", "x"}, {"c", "x"}, {"d", "x"}}, []string{"b", "c", "d"}},
		{"most often first", [][]string{{"e", "b"}, {"e", "c"}, {"b"}}, []string{"e", "b", "c"}},
		{"never itself", [][]string{{"a", "b"}}, []string{"b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Probers("a", tc.successors)
			slices.Sort(got)
			slices.Sort(tc.want)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestHundredNodes spreads 1,000 addresses over 100 nodes with successors by chance, and reckons what probing costs: no
// node is probed by more than three, every owner's most frequent heirs probe it, and nobody has to probe for all.
func TestHundredNodes(t *testing.T) {
	const nodes, addresses = 100, 1000
	successors := simulate(nodes, addresses)
	probed := map[string]int{}
	for n := range nodes {
		for _, owner := range TargetsOf(named(n), successors) {
			probed[named(n)]++
			if owner == named(n) {
				t.Errorf("%s probes itself", owner)
			}
		}
	}
	total, most := 0, 0
	for _, n := range probed {
		total, most = total+n, max(most, n)
	}
	if total > MaxProbers*nodes || most > 4*MaxProbers {
		t.Errorf("%d pairs, one node probes %d", total, most)
	}
	interval, _ := ProfileDefault.interval()
	t.Logf("%d pairs; a node probes %.1f on average and %d at most: %.0f and %.0f requests/s", total,
		float64(total)/nodes, most, float64(total)/nodes/interval.Seconds(), float64(most)/interval.Seconds())
}

// TestProbersAreAgreed: the order in which addresses are listed changes nothing.
func TestProbersAreAgreed(t *testing.T) {
	for owner, s := range simulate(30, 300) {
		want := Probers(owner, s)
		for range 5 {
			rand.Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
			if diff := cmp.Diff(want, Probers(owner, s)); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func named(n int) string { return fmt.Sprintf("node-%02d", n) }

func simulate(nodes, addresses int) map[string][][]string {
	r := rand.New(rand.NewPCG(1, 2))
	successors := map[string][][]string{}
	for range addresses {
		order := r.Perm(nodes)
		var heirs []string
		for _, n := range order[1:6] {
			heirs = append(heirs, named(n))
		}
		owner := named(order[0])
		successors[owner] = append(successors[owner], heirs)
	}
	return successors
}
