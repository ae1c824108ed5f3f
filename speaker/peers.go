package speaker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/speaker/members"
)

// PodLabels select the speaker Pods in their namespace; the chart sets them.
func PodLabels() client.MatchingLabels {
	return client.MatchingLabels(kube.SpeakerPodLabels())
}

// peers returns the speakers that should be in the group, by node name, with the address their group port is on. That is
// the one of the family of bind, where this speaker's own is: they all listen on the same port of the same family.
func peers(ctx context.Context, reader client.Reader, namespace string, bind netip.AddrPort) (map[string]netip.AddrPort, error) {
	var pods corev1.PodList
	if err := reader.List(ctx, &pods, client.InNamespace(namespace), PodLabels(), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing speaker pods: %w", err)
	}
	found := map[string]netip.AddrPort{}
	for i := range pods.Items {
		p := &pods.Items[i]
		if a := podAddr(p, bind.Addr().Unmap().Is4()); staying(p) && a.IsValid() {
			found[p.Spec.NodeName] = netip.AddrPortFrom(a, bind.Port())
		}
	}
	return found, nil
}

// staying tells that the Pod runs or will. One that was evicted keeps its address while its successor runs.
func staying(p *corev1.Pod) bool {
	return p.Spec.NodeName != "" && p.DeletionTimestamp == nil &&
		p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded
}

// podAddr returns the Pod's address of one family, an invalid one while it has none.
func podAddr(p *corev1.Pod, v4 bool) netip.Addr {
	for _, ip := range slices.Concat(p.Status.PodIPs, []corev1.PodIP{{IP: p.Status.PodIP}}) {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a.Unmap().Is4() == v4 {
			return a.Unmap()
		}
	}
	return netip.Addr{}
}

// missing names the peers that are not in the group, sorted.
func missing(peers map[string]netip.AddrPort, roster []members.Member) []string {
	left := maps.Clone(peers)
	for _, m := range roster {
		delete(left, m.Name)
	}
	return slices.Sorted(maps.Keys(left))
}
