package bgp

import (
	"testing"

	"go.uber.org/goleak"
)

// GoBGP's servers cannot be ended. Their goroutines wait, one reads mgmt operations, one accepts.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.(*BgpServer).Serve"),
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.newTCPListener.func2"),
		goleak.IgnoreAnyFunction("github.com/osrg/gobgp/v3/pkg/server.newROAManager.func1"),
	)
}
