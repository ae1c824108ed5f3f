// Package migrate tests on a real cluster, with traffic flowing, that kubectl belfry migrate changes over from MetalLB and
// back: no Service's address changes, somebody answers for it all the time, and routers are never spoken to by two
// speakers of one node.
//
// MetalLB itself is not here. Its kinds, objects and workloads are written after its shape, the Services' statuses hold
// addresses that another controller has assigned, and oldspeaker does to the network what its speakers do.
package migrate
