// Package alerts tests the alert rules of the chart with Prometheus' own parser and engine. It is a module of its own, so that the
// product does not depend on them.
package alerts
