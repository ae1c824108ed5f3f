// Package spec is what the users asked for, parsed once into small, valid, immutable values.
//
//	api objects ──Parse──▶ Snapshot (pools, advertisements, …) + Problems
//	Service     ──ParseService──▶ Service      EndpointSlices ──ParseEndpoints──▶ Endpoints      Node ──ParseNode──▶ Node
//
// It is the only parser: nothing behind it looks at an API object again. An object that is wrong becomes a Problem on that
// object and never silences the others. The package is pure: no client, clock or log.
package spec
