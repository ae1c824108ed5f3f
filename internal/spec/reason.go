package spec

// Reason says in one CamelCase word why something is withheld, refused or wrong. The same word is used in conditions,
// events, logs, metric labels and by `kubectl belfry explain`.
type Reason string

// Reasons of parsing: a single object, or objects against each other.
const (
	// ReasonBadRange: an entry of spec.addresses is no CIDR, range or address, or one at which no Service can be reached.
	ReasonBadRange Reason = "BadRange"
	// ReasonOverlap: two pools hold the same address; the older one wins.
	ReasonOverlap Reason = "Overlap"
	// ReasonBadSelector: a label selector does not parse.
	ReasonBadSelector Reason = "BadSelector"
	// ReasonBadWish: an annotation or field of a Service cannot be understood, or contradicts another.
	ReasonBadWish Reason = "BadWish"
	// ReasonUnknownPool: an object names a pool that does not exist.
	ReasonUnknownPool Reason = "UnknownPool"
	// ReasonBadInterface: an entry of spec.interfaces is no glob.
	ReasonBadInterface Reason = "BadInterface"
	// ReasonSettingsDiffer: two advertisements want different failback or conflictDetection for one address; the older wins.
	ReasonSettingsDiffer Reason = "SettingsDiffer"
)

// Problem is what is wrong with one object, in words for its owner.
type Problem struct {
	Kind    string // "IPAddressPool", "L2Advertisement", "Service"
	Name    string
	Reason  Reason
	Message string // what was wrong, with which value, and what would be right
}
