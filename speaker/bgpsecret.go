package speaker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/spec"
)

// secretKey is where a Secret has the password of a router or the key of BFD.
const secretKey = "password"

// secretOf reads a password. A Secret of another namespace is not looked at: whoever may write a BGPPeer could read it by
// letting the speaker sign with it.
func secretOf(ctx context.Context, reader client.Reader, namespace string, ref spec.SecretRef) secret {
	switch {
	case ref.Name == "":
		return secret{}
	case ref.Namespace != "" && ref.Namespace != namespace:
		return secret{problem: fmt.Sprintf("Secret %s/%s is not in namespace %s, the only one where Secrets are read", ref.Namespace, ref.Name, namespace)}
	}
	var o corev1.Secret
	if err := reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: ref.Name}, &o); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return secret{problem: fmt.Sprintf("there is no Secret %s/%s", namespace, ref.Name)}
		}
		return secret{problem: fmt.Sprintf("Secret %s/%s cannot be read: %v", namespace, ref.Name, err)}
	}
	value := string(o.Data[secretKey])
	if value == "" {
		return secret{problem: fmt.Sprintf("Secret %s/%s has nothing under %q", namespace, ref.Name, secretKey)}
	}
	return secret{value: value}
}
