package explain

import "github.com/belfry-lb/belfry/internal/spec"

// Reasons that only somebody who looks at the whole chain can give.
const (
	// ReasonNotFound: there is no such object.
	ReasonNotFound spec.Reason = "NotFound"
	// ReasonNotLoadBalancer: the Service is not of type LoadBalancer.
	ReasonNotLoadBalancer spec.Reason = "NotLoadBalancer"
	// ReasonForeignClass: the Service is of a class that another controller serves.
	ReasonForeignClass spec.Reason = "ForeignClass"
	// ReasonNoController: no controller is available to act.
	ReasonNoController spec.Reason = "NoController"
	// ReasonNotWritten: the Service's status does not show what the controller should have written by now.
	ReasonNotWritten spec.Reason = "NotWritten"
	// ReasonNotAnnounced: a speaker should announce an address, and says that it does not.
	ReasonNotAnnounced spec.Reason = "NotAnnounced"
	// ReasonAnnouncedElsewhere: another node than the one that should be announces the address.
	ReasonAnnouncedElsewhere spec.Reason = "AnnouncedElsewhere"
	// ReasonSeveralAnnounce: several nodes say that they announce the address.
	ReasonSeveralAnnounce spec.Reason = "SeveralAnnounce"
	// ReasonOtherPlan: a speaker carries out another plan than the objects ask for.
	ReasonOtherPlan spec.Reason = "OtherPlan"
	// ReasonFree: nobody holds the address.
	ReasonFree spec.Reason = "Free"
	// ReasonManual: the pool gives addresses only to those who name it.
	ReasonManual spec.Reason = "NotAutomatic"
	// ReasonLater: another pool comes first.
	ReasonLater spec.Reason = "NotNeeded"
	// ReasonOtherPool: the Service asks for another pool, or for addresses of another.
	ReasonOtherPool spec.Reason = "OtherPoolAsked"
)
