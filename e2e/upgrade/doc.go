// Package upgrade replaces a running release by this one, and goes back, while traffic flows: no new connection fails, no
// connection that is held breaks, no address changes or moves. The release to begin with is the newest tag, or where there is
// none the commit in the file BASE.
//
// It logs what a rolling update of the whole product costs: connections that failed, held ones that were lost, and how long it
// took.
package upgrade
