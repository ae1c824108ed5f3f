package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// A Secret that cannot be made for a long time, because of a quota or somebody's webhook, must not end the leader.
func TestGossipKeyIsTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		refuse := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if tries++; tries < 50 {
				return errors.New("quota exceeded")
			}
			return c.Create(ctx, o, opts...)
		}}
		g := &gossip{
			log: logr.Discard(), fence: newFence(DefaultTiming()), namespace: "belfry-system", metrics: m,
			client: fake.NewClientBuilder().WithInterceptorFuncs(refuse).Build(),
		}
		if err := g.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if tries != 50 {
			t.Errorf("it tried %d times, want 50", tries)
		}
	})
}
