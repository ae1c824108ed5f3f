// Package alerts tests the alert rules of the chart with Prometheus' own parser and engine, and what the chart has for its operator
// with the operator's own types. It is a module of its own, so that the product does not depend on them.
package alerts
