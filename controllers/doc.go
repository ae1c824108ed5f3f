// Package controllers gives Services their addresses, and tells who announces them. It gathers what the API server holds,
// asks internal/alloc and internal/plan, and writes what differs; it announces nothing.
//
//	Services ─▶ inbox ─▶ pass: parse, claim ─▶ outbox ─▶ 32 writers ─▶ services/status
//	pools    ─▶  (set)   (one goroutine,        (newest and oldest     (one patch per assignment,
//	                      owns alloc.Table)      first)                  bound to one version)
//
// Of several replicas one leads. What it writes goes through a fence, which is shut before another can lead; see fence.
//
// What the controller may do, and nothing else:
//
//	resource                                  where           verbs
//	services                                  cluster         get, list, watch
//	services/status                           cluster         patch
//	namespaces, nodes, servicecidrs           cluster         get, list, watch
//	ipaddresspools, ipreservations, l2adver…  cluster         get, list, watch
//	bgppeers, bgpadvertisements, bfdprofiles,
//	communities                               cluster         get, list, watch
//	ipaddresspools/status, …                  cluster         patch
//	ipaddresspools, l2advertisements (with    cluster         create; patch those named quickstart
//	quickstart addresses)
//	speakerstatuses, endpointslices           cluster         get, list, watch
//	pods                                      own namespace   get, list, watch
//	events (events.k8s.io)                    cluster         create
//	secrets                                   own namespace   create
//	leases (coordination.k8s.io)              own namespace   get, create, update
//
// A patch of services/status carries the annotation too, so no right on Services themselves is needed. Events on
// cluster-scoped objects are written to the namespace default. The names of the Secret (kube.GossipSecret) and of the
// Lease (LeaseName) are fixed; create cannot be narrowed down to a name.
package controllers
