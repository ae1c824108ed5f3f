package speaker

import (
	"encoding/json"
	"slices"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// mostBytes is how big a status may be, as JSON, before its condition comes on top: 256 KiB then.
const mostBytes = 255 << 10

// bounded cuts the lists of a status that would be too big, those that matter least first, and counts what it leaves out.
func bounded(s v1beta1.SpeakerStatusStatus) v1beta1.SpeakerStatusStatus {
	l2, left := &s.L2, &s.Omitted
	for _, list := range []struct {
		halve func() int // returns how many are left out now; 0 when there is nothing left
		left  *int32
	}{
		{func() int {
			return halveGroups(&l2.Problems, func(p *v1beta1.SpeakerProblem) *[]string { return &p.Addresses })
		}, &left.L2Problems},
		{func() int {
			return halveGroups(&l2.StandIns, func(i *v1beta1.SpeakerStandIn) *[]string { return &i.Addresses })
		}, &left.L2StandIns},
		{func() int {
			return halveGroups(&l2.Claims, func(c *v1beta1.SpeakerClaim) *[]string { return &c.Addresses })
		}, &left.L2Claims},
		{func() int { return halve(&l2.Addresses) }, &left.L2Addresses},
		{func() int { return halve(&s.BGP.Peers) }, &left.BGPPeers},
		{func() int { return halve(&s.Interfaces) }, &left.Interfaces},
		{func() int { return halve(&l2.Conflicts) }, &left.L2Conflicts},
		{func() int { return halve(&s.Members.Missing) }, &left.MembersMissing},
		{func() int { return halve(&s.Withdrawn) }, &left.Withdrawn},
	} {
		for tooBig(s) {
			n := list.halve()
			if n == 0 {
				break
			}
			*list.left += int32(n) // #nosec G115 -- far fewer
		}
	}
	return s
}

func tooBig(s v1beta1.SpeakerStatusStatus) bool {
	b, _ := json.Marshal(s) // strings and numbers: cannot fail
	return len(b) > mostBytes
}

// halve drops the second half of a list and tells how many these were. What others see of the list stays as it is.
func halve[T any](list *[]T) (dropped int) {
	keep := len(*list) / 2
	dropped = len(*list) - keep
	*list = slices.Clip((*list)[:keep])
	return dropped
}

// halveGroups drops the second half of all the addresses that are in groups, and the groups that have none then.
func halveGroups[T any](groups *[]T, addresses func(*T) *[]string) (dropped int) {
	all := 0
	for i := range *groups {
		all += len(*addresses(&(*groups)[i]))
	}
	keep := all / 2
	left := slices.Clone(*groups)
	for i := range left {
		if keep == 0 {
			left = left[:i]
			break
		}
		list := addresses(&left[i])
		*list = slices.Clip((*list)[:min(keep, len(*list))])
		keep -= len(*list)
	}
	*groups = slices.Clip(left)
	return all - all/2
}
