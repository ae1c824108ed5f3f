// Package harness puts Belfry onto a lab (e2e/cluster) the way users do, and asks what users ask: it builds the image,
// installs the chart with the real helm, applies manifests, waits for conditions, and looks from hosts on the LAN.
// The demo and the end-to-end tests share it.
package harness
