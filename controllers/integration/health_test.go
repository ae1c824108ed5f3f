package integration

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/belfry-lb/belfry/controllers"
)

// TestReadyWhenTheCachesAre: a replica lives from the start, and is ready when the last of its caches is filled, leader or not.
func TestReadyWhenTheCachesAre(t *testing.T) {
	for _, missing := range []string{"services", "bfdprofiles"} {
		t.Run(missing, func(t *testing.T) {
			clean(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			addr := l.Addr().String()
			must(t, l.Close())
			var refused atomic.Int64
			var there atomic.Bool
			without := func(cfg *rest.Config) {
				cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(r *http.Request) (*http.Response, error) {
						if !there.Load() && strings.HasSuffix(r.URL.Path, "/"+missing) {
							refused.Add(1)
							return nil, errNetwork
						}
						return next.RoundTrip(r)
					})
				})
			}
			startAs(t, without, quietly, func(o *controllers.Options) { o.HealthAddress = addr })
			eventually(t, "/healthz", func() error { return healthy(addr, "/healthz") })
			eventually(t, "it asks for "+missing, func() error {
				if n := refused.Load(); n < 2 { // the second time, all the others have had theirs
					return fmt.Errorf("%d times", n)
				}
				return nil
			})
			if healthy(addr, "/readyz") == nil {
				t.Error("ready without them")
			}
			there.Store(true)
			eventually(t, "/readyz", func() error { return healthy(addr, "/readyz") })
		})
	}
}

func healthy(addr, path string) error {
	r, err := http.Get("http://" + addr + path)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", r.Status)
	}
	return nil
}
