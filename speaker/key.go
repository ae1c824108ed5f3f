package speaker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
)

// gossipKey returns the secret that the speakers' gossip is encrypted with. It fails while the controller has not made
// it; its errors never contain the value.
func gossipKey(ctx context.Context, reader client.Reader, namespace string) ([]byte, error) {
	var s corev1.Secret
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: kube.GossipSecret}, &s); err != nil {
		return nil, fmt.Errorf("reading secret %s/%s: %w", namespace, kube.GossipSecret, err)
	}
	key := s.Data[kube.GossipSecretKey]
	if len(key) == 0 {
		return nil, fmt.Errorf("reading secret %s/%s: it has no data under %q; delete it and the controller makes a new one",
			namespace, kube.GossipSecret, kube.GossipSecretKey)
	}
	return key, nil
}
