package liveness

import (
	"cmp"
	"hash/fnv"
	"maps"
	"slices"
)

// MaxProbers is how many nodes probe one node, at most.
const MaxProbers = 3

// Probers picks who probes an owner. Each element of successors names, for one of its addresses, the nodes that would
// take it over, the first one first. Those who come first most often are picked, then those who come second, then
// third; a hash of both names decides between equals, so that nobody has to probe for all.
func Probers(owner string, successors [][]string) []string {
	ranks := map[string]*[MaxProbers]int{}
	for _, nodes := range successors {
		for place, n := range nodes[:min(len(nodes), MaxProbers)] {
			if ranks[n] == nil {
				ranks[n] = &[MaxProbers]int{}
			}
			ranks[n][place]++
		}
	}
	delete(ranks, owner)
	picked := slices.SortedFunc(maps.Keys(ranks), func(a, b string) int {
		return cmp.Or(slices.Compare(ranks[b][:], ranks[a][:]), cmp.Compare(weight(owner, a), weight(owner, b)), cmp.Compare(a, b))
	})
	return picked[:min(len(picked), MaxProbers)]
}

// TargetsOf lists, sorted, the owners that a node has to probe, given what Probers takes for each owner.
func TargetsOf(node string, successors map[string][][]string) []string {
	var owners []string
	for owner, s := range successors {
		if slices.Contains(Probers(owner, s), node) {
			owners = append(owners, owner)
		}
	}
	slices.Sort(owners)
	return owners
}

func weight(owner, prober string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(owner + "/" + prober)) // documented never to fail
	return h.Sum64()
}
