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

// gossip makes the Secret with which speakers encrypt what they say to each other, when there is none: at the start, and
// again when somebody has deleted it, which is how a user asks for a new key. It only ever creates: so it needs no right
// to read a Secret, and cannot change one.
type gossip struct {
	log       logr.Logger
	fence     *fence
	client    client.Client
	namespace string
	metrics   *metrics
}

// NeedLeaderElection keeps it to the leader.
func (g *gossip) NeedLeaderElection() bool { return true }

// gossipRetry and gossipRetryMax are the first and the longest pause between two attempts.
const (
	gossipRetry    = 100 * time.Millisecond
	gossipRetryMax = 30 * time.Second
)

// gossipLook is the pause between two looks at whether the Secret is there. A look is a create that is refused.
const gossipLook = 30 * time.Second

// Start sees to it that there is a Secret. It never fails: addresses are assigned without one, too.
func (g *gossip) Start(ctx context.Context) error {
	if err := g.fence.settle(ctx); err != nil {
		return nil //nolint:nilerr // told to stop before it began
	}
	for retry := gossipRetry; ; {
		pause := gossipLook
		if err := g.create(context.WithoutCancel(ctx)); err != nil {
			g.log.Error(err, "gossip key not made: speakers cannot start without it")
			pause, retry = retry, min(2*retry, gossipRetryMax)
		} else {
			retry = gossipRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.Jitter(pause, 0.5)):
		}
	}
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
