package spec

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// Reservation is a claim to addresses that outlives the Services that use them.
type Reservation struct {
	Key             types.NamespacedName
	UID             types.UID
	Created         time.Time
	Families        []Family // of which it wants an address each; those of Addresses when there are some
	Pool            string   // take addresses of this pool only
	Addresses       []netip.Addr
	ServiceName     string // the Service that takes the addresses without asking
	Labels          labels.Set
	NamespaceLabels labels.Set
	Held            []netip.Addr // addresses in its status
	HeldSince       time.Time    // when the Allocated condition became true; zero when it is not
	Pools           []string     // pools of Held, in that order
}
