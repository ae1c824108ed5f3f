package alloc

import "github.com/belfry-lb/belfry/internal/spec"

// Reasons of a Verdict.
const (
	// ReasonAllocated: the Service has every address that it asked for.
	ReasonAllocated spec.Reason = "Allocated"
	// ReasonPoolGone: the Service keeps an address that no pool contains any more, or none that can be used. It still counts as allocated.
	ReasonPoolGone spec.Reason = "PoolGone"
	// ReasonOneFamily: a PreferDualStack Service has one of its two addresses; the other comes when it becomes possible.
	ReasonOneFamily spec.Reason = "OneFamily"
	// ReasonNoPool: no pool assigns addresses automatically.
	ReasonNoPool spec.Reason = "NoPool"
	// ReasonNoFamily: no pool that might serve the Service hands out addresses of a family that it needs.
	ReasonNoFamily spec.Reason = "NoFamily"
	// ReasonPoolExhausted: every address that the Service might have is in use.
	ReasonPoolExhausted spec.Reason = "PoolExhausted"
	// ReasonAddressTaken: an address belongs to another claim: one that is asked for, or one that an elder claim has taken.
	ReasonAddressTaken spec.Reason = "AddressTaken"
	// ReasonTerminating: the Service is being deleted; it keeps what it holds and gets nothing new.
	ReasonTerminating spec.Reason = "Terminating"
	// ReasonNotMoved: the Service is to be moved to other addresses, and there are none. It keeps those it has.
	ReasonNotMoved spec.Reason = "NotMoved"
	// ReasonWrongFamily: an address is asked for of a family that the Service does not have.
	ReasonWrongFamily spec.Reason = "WrongFamily"
	// ReasonNotInPool: an address is asked for that is in no pool, or not in the pool that is asked for.
	ReasonNotInPool spec.Reason = "NotInPool"
	// ReasonNotAllowed: the pool is not for Services of this namespace, or with these labels.
	ReasonNotAllowed spec.Reason = "NotAllowed"
	// ReasonPoolDisabled: the pool that is asked for assigns nothing.
	ReasonPoolDisabled spec.Reason = "PoolDisabled"
	// ReasonExcluded: an address is asked for that its pool never hands out.
	ReasonExcluded spec.Reason = "Excluded"
	// ReasonQuotaReached: the namespace has as many addresses of the pool as it may have.
	ReasonQuotaReached spec.Reason = "QuotaReached"
	// ReasonResting: of the addresses that the Service might have some are free, but rest after their last use.
	ReasonResting spec.Reason = "Resting"
	// ReasonSharingConflict: an address is asked for that belongs to another, and the two may not share it.
	ReasonSharingConflict spec.Reason = "SharingConflict"
	// ReasonNoReservation: the reservation that is asked for does not exist, or has no address of the family yet.
	ReasonNoReservation spec.Reason = "NoReservation"
)
