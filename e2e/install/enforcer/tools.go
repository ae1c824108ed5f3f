//go:build tools

// Package tools pins what enforces NetworkPolicies in the tests; it is never compiled.
package tools

import _ "sigs.k8s.io/kube-network-policies/cmd/kube-network-policies/standard"
