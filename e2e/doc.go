// Package e2e holds the promises that users see, as tests on a real cluster: Kubernetes with real nodes (e2e/cluster),
// Belfry installed by helm, and hosts on the LAN that are no part of the cluster.
//
// The tests share one lab and run one after another; each makes its own Services and takes them away.
package e2e
