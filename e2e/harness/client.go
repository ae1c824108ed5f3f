package harness

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// Client returns a client of the lab's API server that knows our kinds.
func Client(c *cluster.Cluster) (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the lab's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 1000, 1000
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // the lab is on this machine
	scheme, err := kube.NewScheme()
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// Addresses returns the addresses in a Service's status.
func Addresses(s *corev1.Service) []netip.Addr {
	return spec.ParseService(s).Held
}

// AwaitAddresses waits until the Service has n addresses and returns them.
func AwaitAddresses(ctx context.Context, k client.Client, key types.NamespacedName, n int) ([]netip.Addr, error) {
	var s corev1.Service
	err := Eventually(ctx, fmt.Sprintf("%d addresses of Service %s", n, key), func(ctx context.Context) error {
		if err := k.Get(ctx, key, &s); err != nil {
			return err
		}
		if got := len(Addresses(&s)); got != n {
			return fmt.Errorf("it has %d; conditions %+v", got, s.Status.Conditions)
		}
		return nil
	})
	return Addresses(&s), err
}

// SpeakerOf returns the ID of the speaker's container on a node, and whether it is ready.
func SpeakerOf(ctx context.Context, k client.Client, node string) (id string, ready bool, err error) {
	var list corev1.PodList
	speakers := client.MatchingLabels{"app.kubernetes.io/component": "speaker"}
	if err := k.List(ctx, &list, client.InNamespace(Namespace), speakers); err != nil {
		return "", false, err
	}
	for _, p := range list.Items {
		if p.Spec.NodeName == node && len(p.Status.ContainerStatuses) == 1 {
			return p.Status.ContainerStatuses[0].ContainerID, p.Status.ContainerStatuses[0].Ready, nil
		}
	}
	return "", false, fmt.Errorf("there is no speaker on %s", node)
}

// AwaitDeployment waits until all replicas of a Deployment are available.
func AwaitDeployment(ctx context.Context, c *cluster.Cluster, namespace, name string) error {
	_, err := Kubectl(ctx, c, nil, "rollout", "status", "--namespace", namespace, "deployment/"+name, "--timeout=2m")
	return err
}

// Owners returns which nodes say in their SpeakerStatus that they answer for the address.
func Owners(ctx context.Context, k client.Client, a netip.Addr) ([]string, error) {
	var list v1beta1.SpeakerStatusList
	if err := k.List(ctx, &list); err != nil {
		return nil, err
	}
	var owners []string
	for _, s := range list.Items {
		for _, r := range s.Status.L2.Addresses {
			if r, err := spec.ParseRange(r); err == nil && r.Contains(a) {
				owners = append(owners, s.Name)
			}
		}
	}
	slices.Sort(owners)
	return owners, nil
}

// Condition returns a condition of a Service as "True Reason: message".
func Condition(ctx context.Context, k client.Client, key types.NamespacedName, kind string) (metav1.Condition, error) {
	var s corev1.Service
	if err := k.Get(ctx, key, &s); err != nil {
		return metav1.Condition{}, err
	}
	for _, c := range s.Status.Conditions {
		if c.Type == kind {
			return c, nil
		}
	}
	return metav1.Condition{}, fmt.Errorf("Service %s has no condition %s", key, kind)
}
