// Command oldspeaker stands in for the speakers of the load balancer that is left, in the end-to-end test of the
// change-over. It does to the network what they do, and knows nothing of Kubernetes:
//
//	layer 2   the nodes elect an announcer per address among the speakers that live (memberlist); it answers ARP, and
//	          tells the LAN when an address becomes its own
//	BGP       BIRD holds a session with each router and tells it of every address
//
// Where what is to be said comes from: environment variables, see readSettings.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "oldspeaker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	s, err := readSettings()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return answer(ctx, s) })
	if len(s.routers) > 0 {
		group.Go(func() error { return speak(ctx, s) })
	}
	group.Go(func() error { return serve(ctx, s.metrics) })
	return group.Wait()
}

// serve answers the readiness probe, which asks for nothing but that the process is there.
func serve(ctx context.Context, addr string) error {
	server := &http.Server{Addr: addr, ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listening for probes: %w", err)
	}
	return nil
}
