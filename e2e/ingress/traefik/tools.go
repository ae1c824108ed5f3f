//go:build tools

// Package tools pins the Ingress controller that the tests put behind a Service; it is never compiled.
package tools

import _ "github.com/traefik/traefik/v3/cmd/traefik"
