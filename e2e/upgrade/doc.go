// Package upgrade replaces a running release by this one, and goes back, while traffic flows: no new connection fails, no
// connection that is held breaks, no address changes or moves. The release to begin with is the newest tag, or where there is
// none the commit in the file BASE. It runs with the long series (make soak).
package upgrade
