package members

import "time"

// Profile chooses all timings of the membership at once. Single timings are
// not for choosing: they only work in these combinations.
//
//	profile   death is noticed after   a pause of the process             traffic
//	fast      0.45–0.55 s              of 0.4 s may be taken for death    1.8 kB/s
//	default   0.9–1.1 s                of 0.8 s is survived               0.9 kB/s
//	relaxed   2.3–2.8 s                of 1.5 s is survived (calculated)  0.4 kB/s
//
// Times are of three nodes, killed until both others know; traffic is what
// each of three sends while nothing changes. The times hold up to ten nodes
// and grow with log10 of their number: twice as long at 100.
type Profile string

// The profiles. The zero value of Profile means ProfileDefault.
const (
	ProfileFast    Profile = "fast"
	ProfileDefault Profile = "default"
	ProfileRelaxed Profile = "relaxed"
)

// timing is everything that a profile sets.
type timing struct {
	probeInterval    time.Duration // one random member is probed each interval
	probeTimeout     time.Duration // then others are asked to probe it
	suspicionMult    int           // probe intervals until a suspect is dead
	suspicionMaxMult int           // factor on that while nobody confirms it
	gossipInterval   time.Duration // broadcasts leave in this rhythm
	pushPull         time.Duration // full exchange with one random member
	stream           time.Duration // limit of one TCP conversation
	retryMin         time.Duration // first repetition of a join or a question
	retryMax         time.Duration // the longest gap between two
}

// timings is the only place that knows the numbers behind a profile. The
// second result is false for a name that is no profile.
func timings(p Profile) (timing, bool) {
	t := timing{
		probeInterval: 200 * time.Millisecond, probeTimeout: 80 * time.Millisecond,
		suspicionMult: 3, suspicionMaxMult: 3,
		gossipInterval: 50 * time.Millisecond, pushPull: 20 * time.Second,
		stream:   2 * time.Second,
		retryMin: 250 * time.Millisecond, retryMax: 5 * time.Second,
	}
	switch p {
	case ProfileFast:
		t.probeInterval, t.probeTimeout = 100*time.Millisecond, 40*time.Millisecond
		t.gossipInterval = 25 * time.Millisecond
	case ProfileDefault, "":
	case ProfileRelaxed:
		t.probeInterval, t.probeTimeout = 500*time.Millisecond, 200*time.Millisecond
		t.gossipInterval, t.pushPull = 100*time.Millisecond, 30*time.Second
		t.stream = 4 * time.Second
	default:
		return timing{}, false
	}
	return t, true
}
