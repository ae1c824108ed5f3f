package alloc

import "github.com/belfry-lb/belfry/internal/spec"

// Reasons of a Verdict.
const (
	// ReasonAllocated: the Service has every address that it asked for.
	ReasonAllocated spec.Reason = "Allocated"
	// ReasonPoolGone: the Service keeps an address that no pool contains any more. It still counts as allocated.
	ReasonPoolGone spec.Reason = "PoolGone"
	// ReasonOneFamily: a PreferDualStack Service has one of its two addresses; the other comes when it becomes possible.
	ReasonOneFamily spec.Reason = "OneFamily"
	// ReasonNoPool: no pool assigns addresses automatically.
	ReasonNoPool spec.Reason = "NoPool"
	// ReasonNoFamily: no pool that might serve the Service has addresses of a family that it needs.
	ReasonNoFamily spec.Reason = "NoFamily"
	// ReasonPoolExhausted: every address that the Service might have is in use.
	ReasonPoolExhausted spec.Reason = "PoolExhausted"
	// ReasonAddressTaken: the Service's address belongs to an elder claim, and no other was found yet.
	ReasonAddressTaken spec.Reason = "AddressTaken"
	// ReasonTerminating: the Service is being deleted; it keeps what it holds and gets nothing new.
	ReasonTerminating spec.Reason = "Terminating"
)
