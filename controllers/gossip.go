package controllers

import (
	"context"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
)

// gossip makes the Secret with which speakers encrypt what they say to each other, when there is none. It only ever
// creates: so it needs no right to read a Secret, and cannot change one.
type gossip struct {
	log       logr.Logger
	fence     *fence
	client    client.Client
	namespace string
	metrics   *metrics
}

// NeedLeaderElection keeps it to the leader.
func (g *gossip) NeedLeaderElection() bool { return true }

// Start tries until there is a Secret.
func (g *gossip) Start(ctx context.Context) error {
	if err := g.fence.settle(ctx); err != nil {
		return nil //nolint:nilerr // told to stop before it began
	}
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 1 << 30, Cap: 30 * time.Second}
	err := wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		err := g.create(context.WithoutCancel(ctx))
		if err != nil {
			g.log.Error(err, "gossip key not made: speakers cannot start without it")
		}
		return err == nil, nil
	})
	if err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

func (g *gossip) create(ctx context.Context) error {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: kube.GossipSecret},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{kube.GossipSecretKey: kube.NewGossipKey()},
	}
	err := g.client.Create(ctx, s)
	g.metrics.write("Secret", err)
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil
	case err != nil:
		return fmt.Errorf("creating Secret %s/%s: %w", g.namespace, kube.GossipSecret, err)
	}
	g.log.Info("gossip key made")
	return nil
}
