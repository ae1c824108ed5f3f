package liveness

import "time"

// Profile chooses all timings at once; the names are those of package members.
//
//	profile   interval  Silent after a power cut  a pause that is forgiven  traffic of a pair, each way
//	fast       40 ms    0.20–0.24 s               0.20 s                    25 requests/s, 3.1 kB/s
//	default    80 ms    0.40–0.48 s               0.40 s                    12.5 requests/s, 1.6 kB/s
//	relaxed   300 ms    1.5–1.8 s                 1.5 s                     3.3 requests/s, 0.4 kB/s
//
// A pause is one in which the target's speaker does not run at all. Traffic counts a request of 125 bytes as an Ethernet
// frame, with names of ten bytes; a reply is as long.
type Profile string

// The profiles. The zero value of Profile means ProfileDefault.
const (
	ProfileFast    Profile = "fast"
	ProfileDefault Profile = "default"
	ProfileRelaxed Profile = "relaxed"
)

// misses is how many requests in a row stay without a reply until a target is Silent.
const misses = 5

// refusalGap is how long a kernel may hold back a port unreachable after the last one: Linux allows a host one a second
// (net.ipv4.icmp_ratelimit, net.ipv6.icmp.ratelimit) after a burst of six, and the group's own probes of the same node take
// their share of them while that is still a member.
const refusalGap = 3 * time.Second

// interval returns the time between two requests to one target, false for a name that is no profile.
func (p Profile) interval() (time.Duration, bool) {
	switch p {
	case ProfileFast:
		return 40 * time.Millisecond, true
	case ProfileDefault, "":
		return 80 * time.Millisecond, true
	case ProfileRelaxed:
		return 300 * time.Millisecond, true
	}
	return 0, false
}
