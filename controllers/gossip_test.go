package controllers

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/belfry-lb/belfry/internal/kube"
)

// A Secret that cannot be made for a long time, because of a quota or somebody's webhook, must not end the leader.
func TestGossipKeyIsTriedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := newMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		var tries atomic.Int64
		refuse := interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if tries.Add(1) < 50 {
				return errors.New("quota exceeded")
			}
			return c.Create(ctx, o, opts...)
		}}
		g := &gossip{
			log: logr.Discard(), fence: newFence(DefaultTiming()), namespace: "belfry-system", metrics: m,
			client: fake.NewClientBuilder().WithInterceptorFuncs(refuse).Build(),
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- g.Start(ctx) }()
		key := func() string {
			var s corev1.Secret
			if err := g.client.Get(ctx, client.ObjectKey{Namespace: "belfry-system", Name: kube.GossipSecret}, &s); err != nil {
				return ""
			}
			return string(s.Data[kube.GossipSecretKey])
		}
		elapse := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		elapse(50 * 2 * gossipRetryMax)
		first := key()
		if tries.Load() < 50 || first == "" {
			t.Fatalf("it tried %d times, the key has %d bytes", tries.Load(), len(first))
		}
		elapse(time.Hour)
		if key() != first {
			t.Error("the key was changed without need")
		}
		// Somebody wants another key.
		if err := g.client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "belfry-system", Name: kube.GossipSecret}}); err != nil {
			t.Fatal(err)
		}
		elapse(2 * gossipLook)
		if next := key(); next == "" || next == first {
			t.Errorf("a deleted key was followed by one of %d bytes, the same: %v", len(next), next == first)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
