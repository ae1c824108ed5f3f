package v1beta1

// Annotations with which a Service asks for something. The first three are also read under MetalLB's two prefixes and in
// its names; where both are set, ours win.
const (
	// AnnotationPool names the pool to take addresses from.
	AnnotationPool = Group + "/pool"
	// AnnotationIPs lists the addresses wanted, joined by commas.
	AnnotationIPs = Group + "/ips"
	// AnnotationSharingKey lets Services with the same value share an address when their ports do not clash.
	AnnotationSharingKey = Group + "/sharing-key"
	// AnnotationReservation names the IPReservation, in the Service's namespace, whose addresses to take.
	AnnotationReservation = Group + "/reservation"
	// AnnotationReallocate moves the Service to other addresses whenever its value changes.
	AnnotationReallocate = Group + "/reallocate"
)

// The same wishes in MetalLB's names: each under two prefixes, the one of today and the one before.
const (
	MetalLBPrefix    = "metallb.io/"
	OldMetalLBPrefix = "metallb.universe.tf/"

	// MetalLBPool, MetalLBIPs and MetalLBSharingKey follow a prefix.
	MetalLBPool       = "address-pool"
	MetalLBIPs        = "loadBalancerIPs"
	MetalLBSharingKey = "allow-shared-ip"
)

// Annotations that Belfry writes on Services.
const (
	// AnnotationReallocated is the last value of AnnotationReallocate that was acted upon.
	AnnotationReallocated = Group + "/reallocated"
	// AnnotationAllocatedFrom names the pools of a Service's addresses: one name, or names joined by commas in the
	// order of status.loadBalancer.ingress. A Service without it is not ours to announce.
	AnnotationAllocatedFrom = Group + "/allocated-from"
)

// Drain marks a node that is to announce nothing: a taint key (any effect counts) and an annotation key of Nodes.
const Drain = Group + "/drain"

// What a change-over from another load balancer leaves on objects while it is under way; nothing of it stays.
const (
	// LabelMigrating on a Node keeps the old speaker away from it.
	LabelMigrating = Group + "/migrating"
	// LabelMigrated on a Node lets BGPPeers select it that are guarded until the change-over is done.
	LabelMigrated = Group + "/migrated"
	// AnnotationMigrateReplicas on the old controller's Deployment is how many replicas it had.
	AnnotationMigrateReplicas = Group + "/migrate-replicas"
	// AnnotationMigrateBefore on the old speaker's DaemonSet is what it was before, and where it ran, as JSON.
	AnnotationMigrateBefore = Group + "/migrate-before"
	// AnnotationMigrateCopy on a Secret names the one that it is a copy of.
	AnnotationMigrateCopy = Group + "/migrate-copy-of"
)

// LabelQuickstart marks the pool and the advertisement that the controller keeps as its flag --quickstart-addresses says.
// Without it they are their owner's.
const LabelQuickstart = Group + "/quickstart"

// Condition types.
const (
	// ConditionAllocated on a Service tells whether it has the addresses it asked for, and if not, why.
	ConditionAllocated = Group + "/Allocated"
	// ConditionAnnounced on a Service tells whether its addresses are announced, by which node, and if not, why.
	ConditionAnnounced = Group + "/Announced"
	// ConditionReady on our own kinds tells whether the object is valid and in use.
	ConditionReady = "Ready"
	// ConditionExhausted on a pool tells whether it has no free address of some family left.
	ConditionExhausted = "Exhausted"
	// ConditionEstablished on a BGPPeer tells whether every node that should has a session with the router.
	ConditionEstablished = "Established"
	// ConditionWatched on a BGPPeer tells whether BFD is up between the router and every node that should have a session. A
	// BGPPeer without a BFDProfile does not have it.
	ConditionWatched = "Watched"
	// ConditionUnchecked on a pool is there while it is not known which addresses the cluster uses itself, and says which.
	ConditionUnchecked = "Unchecked"
	// ConditionQuickstart on a pool or advertisement is there while it stands where the controller's own is to be.
	ConditionQuickstart = "QuickstartNotApplied"
	// ConditionReserved on an IPReservation tells whether it has the addresses it asks for, and if not, why.
	ConditionReserved = "Allocated"
)

// ServiceFinalizer keeps a deleted Service until all speakers are silent about it, where the controller is told to use it.
// The name is that of Kubernetes' own service controllers.
const ServiceFinalizer = "service.kubernetes.io/load-balancer-cleanup"

// DefaultLoadBalancerClass is the spec.loadBalancerClass that Belfry answers to unless told otherwise.
const DefaultLoadBalancerClass = Group + "/belfry"
