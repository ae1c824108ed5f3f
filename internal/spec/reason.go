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

// Reasons of parsing what is announced with BGP.
const (
	// ReasonUnknownTemplate: spec.base names no BGPPeer, or one that is no template.
	ReasonUnknownTemplate Reason = "UnknownTemplate"
	// ReasonIncomplete: a BGPPeer leaves out what its template does not give either.
	ReasonIncomplete Reason = "Incomplete"
	// ReasonContradiction: fields that exclude each other, or that do not go with the node's own values.
	ReasonContradiction Reason = "Contradiction"
	// ReasonBadValue: a field's value is out of its range.
	ReasonBadValue Reason = "BadValue"
	// ReasonNodeValue: a node lacks the label or annotation from which a field is taken, or it does not parse.
	ReasonNodeValue Reason = "BadNodeValue"
	// ReasonUnknownPeer: an advertisement names a BGPPeer that does not exist.
	ReasonUnknownPeer Reason = "UnknownPeer"
	// ReasonUnknownProfile: a BGPPeer names a BFDProfile that does not exist.
	ReasonUnknownProfile Reason = "UnknownBFDProfile"
	// ReasonBadCommunity: a community does not parse.
	ReasonBadCommunity Reason = "BadCommunity"
	// ReasonUnknownCommunity: an advertisement names an alias that no Community defines.
	ReasonUnknownCommunity Reason = "UnknownCommunity"
	// ReasonAmbiguousCommunity: two Communities define an alias differently; the older one's counts.
	ReasonAmbiguousCommunity Reason = "AmbiguousCommunity"
	// ReasonAttributesDiffer: two advertisements of one pool to one peer want different attributes; for routes of both, the older one's count.
	ReasonAttributesDiffer Reason = "AttributesDiffer"
)

// Problem is what is wrong with one object, in words for its owner.
type Problem struct {
	Kind    string // "IPAddressPool", "L2Advertisement", "Service"
	Name    string
	Reason  Reason
	Message string // what was wrong, with which value, and what would be right
}
