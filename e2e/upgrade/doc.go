// Package upgrade replaces a running release by this one, and goes back, while traffic flows to addresses of either family at
// layer 2 and, through a router, by BGP: no new connection fails, none that is held breaks, no address changes, and neither
// address nor route moves. The release to begin with is the newest tag before this commit, or where there is none the commit in
// the file BASE.
//
// It logs what a rolling update of the whole product costs: connections that failed, held ones that were lost, and how long it
// took. The long form (make soak) also goes forward again and renews the same release, with the chart's own values.
package upgrade
