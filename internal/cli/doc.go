// Package cli is the kubectl plugin: `kubectl belfry`.
//
//	flags, kubeconfig ──connect──▶ cluster ──gather──▶ explain.Facts ──internal/explain──▶ rows, chains, findings ──print──▶ terminal
//
// It reads, asks internal/explain and prints; it decides nothing. Reading commands need what the ClusterRole belfry-viewer
// allows; what they may not read they do without, and say so. Writing commands check their rights first.
package cli
