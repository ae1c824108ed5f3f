package bfd

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/testr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/belfry-lb/belfry/speaker/bfd"
)

// ours is an engine of ours in a namespace.
type ours struct {
	*bfd.Engine
	t       *testing.T
	metrics *prometheus.Registry
}

// inside opens sockets in a namespace. The engine itself runs on any thread, as it does in the product.
type inside struct {
	bfd.Network
	host *host
}

func (i inside) Listen(s bfd.Scope) (r bfd.Receiver, err error) {
	err = i.host.in(func() (err error) { r, err = i.Network.Listen(s); return err })
	return r, err
}

func (i inside) Dial(p bfd.Path) (s bfd.Sender, err error) {
	err = i.host.in(func() (err error) { s, err = i.Network.Dial(p); return err })
	return s, err
}

func (i inside) Echo(ifIndex int, ipv6 bool) (e bfd.EchoConn, err error) {
	err = i.host.in(func() (err error) { e, err = i.Network.Echo(ifIndex, ipv6); return err })
	return e, err
}

func startOurs(t *testing.T, h *host) *ours {
	t.Helper()
	return startLogged(t, h, testr.New(t))
}

func startLogged(t *testing.T, h *host, log logr.Logger) *ours {
	t.Helper()
	o := &ours{t: t, metrics: prometheus.NewRegistry()}
	var err error
	network := inside{bfd.Kernel(), h}
	if o.Engine, err = bfd.New(bfd.Options{Log: log, Registerer: o.metrics, Network: network}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return o
}

func (o *ours) apply(sessions map[bfd.Path]bfd.Settings) {
	o.t.Helper()
	r, err := o.Apply(o.t.Context(), bfd.Desired{Sessions: sessions})
	if err != nil {
		o.t.Fatal(err)
	}
	for path, problem := range r.Problems {
		o.t.Fatalf("%v: %s", path, problem)
	}
}

func (o *ours) watch(p bfd.Path, set bfd.Settings) {
	o.t.Helper()
	o.apply(map[bfd.Path]bfd.Settings{p: set})
}

// await returns the status of a path once it satisfies a condition.
func (o *ours) await(p bfd.Path, what string, cond func(bfd.Status) bool) bfd.Status {
	o.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		s := o.Running().Sessions[p]
		if cond(s) {
			return s
		}
		select {
		case <-o.Changed():
		case <-timeout.C:
			o.t.Fatalf("%s: not within %s: %+v, problems %v", what, patience, s, o.Running().Problems)
		}
	}
}

func (o *ours) dropped(reason string) float64 {
	o.t.Helper()
	families, err := o.metrics.Gather()
	if err != nil {
		o.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "belfry_bfd_dropped_packets_total" && m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func up(s bfd.Status) bool   { return s.State == bfd.Up }
func down(s bfd.Status) bool { return s.State == bfd.Down }

func timers(interval time.Duration, multiplier uint8) bfd.Settings {
	return bfd.Settings{MinTx: interval, MinRx: interval, Multiplier: multiplier}
}

const ms = time.Millisecond

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
