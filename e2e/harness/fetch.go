package harness

import (
	"context"
	"os"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// FetchFRR unpacks FRR into the cache, where routers find it: what is downloaded for the first time takes as long as it takes,
// and is no part of what a test waits for.
func FetchFRR(ctx context.Context) error {
	_, err := cluster.Packages(ctx, os.Stderr, "frr")
	return err
}

// FetchBrowser does the same with what StartBrowser needs.
func FetchBrowser(ctx context.Context) error {
	_, err := cluster.Packages(ctx, os.Stderr, browserPackages...)
	return err
}
