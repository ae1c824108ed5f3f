package bgp

import (
	"testing"

	"go.uber.org/goleak"
)

// GoBGP's servers cannot be ended. Their goroutines wait, one reads mgmt operations, one accepts. A session that ends with
// a message unread leaves the goroutine of its buffer behind. Links see to it that this is rare, not that it never
// happens; that these do not add up is watched where sessions flap.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.(*BgpServer).Serve"),
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.newTCPListener.func2"),
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.newROAManager.func1"),
		goleak.IgnoreAnyFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"),
	)
}
