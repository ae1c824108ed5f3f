package bfd

import "container/heap"

// schedule holds sessions by the time of their next step.
type schedule []*session

// Len, Less, Swap, Push and Pop are for container/heap.
func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at < s[j].at }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push is for container/heap.
func (s *schedule) Push(x any) {
	n := x.(*session)
	n.index = len(*s)
	*s = append(*s, n)
}

// Pop is for container/heap.
func (s *schedule) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}

func (s *schedule) add(n *session)    { heap.Push(s, n) }
func (s *schedule) remove(n *session) { heap.Remove(s, n.index) }

// moved puts a session in its place after its time has changed.
func (s *schedule) moved(n *session) {
	if at := n.next(); at != n.at {
		n.at = at
		heap.Fix(s, n.index)
	}
}

// first is when the first step is due, never if there is none.
func (s schedule) first() instant {
	if len(s) == 0 {
		return never
	}
	return s[0].at
}
