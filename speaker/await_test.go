package speaker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/belfry-lb/belfry/internal/kube"
)

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &logbook{}
		s := &Speaker{o: Options{Node: "n1", Log: logs.logger()}}
		tries, began := 0, time.Now()
		ok := s.await(context.Background(), "Waiting", func() error {
			if tries++; tries < 10 {
				return errors.New("not yet")
			}
			return nil
		})
		if !ok || tries != 10 || logs.count("Waiting", `"reason"="not yet"`) != 1 || len(logs.lines) != 1 {
			t.Errorf("%t after %d tries: %s", ok, tries, logs.lines)
		}
		if took := time.Since(began); took > 10*longPause*3/2 {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if s.await(ctx, "Waiting", func() error { return errors.New("never") }) {
			t.Error("went on after the context had ended")
		}
	})
}

func TestAwaitKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &logbook{}
		c := fakeAPI(t).Build()
		s := &Speaker{o: Options{Node: "n1", Namespace: ns, Client: c, Log: logs.logger()}}
		got := make(chan string)
		go func() {
			key, ok := s.awaitKey(context.Background())
			if !ok {
				key = nil
			}
			got <- string(key)
		}()
		elapse(time.Minute)
		must(t, c.Create(context.Background(), newSecret("")))
		elapse(time.Minute)
		must(t, c.Update(context.Background(), newSecret("  the value as it is\n")))
		if key := <-got; key != "  the value as it is\n" {
			t.Errorf("got %q", key)
		}
		if len(logs.lines) != 1 {
			t.Errorf("%d lines, want 1:\n%s", len(logs.lines), logs.lines)
		}
	})
}

func TestGossipKeyErrors(t *testing.T) {
	empty, other := newSecret(""), newSecret("")
	other.Data = map[string][]byte{"another": []byte("do-not-tell")}
	for name, c := range map[string]*fake.ClientBuilder{
		"no Secret": fakeAPI(t), "an empty one": fakeAPI(t, empty), "one without the entry": fakeAPI(t, other),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := gossipKey(context.Background(), c.Build(), ns)
			if err == nil || !strings.Contains(err.Error(), kube.GossipSecret) || strings.Contains(err.Error(), "do-not-tell") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPortFree(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			tcp, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
			must(t, err)
			bind := netip.MustParseAddrPort(tcp.Addr().String())
			if portFree(context.Background(), bind) == nil {
				t.Error("free though TCP is taken")
			}
			must(t, tcp.Close())
			udp, err := net.ListenPacket("udp", bind.String())
			must(t, err)
			if portFree(context.Background(), bind) == nil {
				t.Error("free though UDP is taken")
			}
			must(t, udp.Close())
			must(t, portFree(context.Background(), bind))
			must(t, portFree(context.Background(), bind))
		})
	}
	if portFree(context.Background(), netip.MustParseAddrPort("203.0.113.1:7947")) == nil {
		t.Error("free on an address that the node does not have")
	}
}

// TestJitter: speakers that all saw the same at once do not act at once, and never sooner than they may.
func TestJitter(t *testing.T) {
	least, most := 2*writePause, time.Duration(0)
	for range 1000 {
		d := jitter(writePause)
		if d < writePause || d > writePause+writePause/2 {
			t.Fatalf("a pause of %v became %v", writePause, d)
		}
		least, most = min(least, d), max(most, d)
	}
	if most-least < writePause/4 {
		t.Errorf("1000 pauses are all from %v to %v", least, most)
	}
}
