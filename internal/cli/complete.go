package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// completionTimeout is how long somebody waits at the Tab key.
const completionTimeout = 3 * time.Second

// names lists the names of a kind, metadata alone; nothing when they cannot be had.
func (a *app) names(ctx context.Context, gvk schema.GroupVersionKind, opts ...client.ListOption) (names []string) {
	c, err := a.connect()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	if c.client.List(ctx, &list, append(opts, client.Limit(pageSize))...) != nil {
		return nil
	}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

func (a *app) completeNamespaces(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return starting(a.names(cmd.Context(), corev1.SchemeGroupVersion.WithKind("Namespace")), prefix), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeNodes(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return starting(a.names(cmd.Context(), corev1.SchemeGroupVersion.WithKind("Node")), prefix), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeSubjects(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	kind, _, ok := strings.Cut(prefix, "/")
	if !ok {
		return starting([]string{"svc/", "ip/", "node/", "pool/", "peer/"}, prefix), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	switch kind {
	case "svc":
		namespace, _ := a.namespace(true)
		names = a.names(cmd.Context(), corev1.SchemeGroupVersion.WithKind("Service"), client.InNamespace(namespace), ofLoadBalancers())
	case "node":
		names = a.names(cmd.Context(), corev1.SchemeGroupVersion.WithKind("Node"))
	case "peer":
		names = a.names(cmd.Context(), v1beta1.GroupVersion().WithKind("BGPPeer"))
	case "pool":
		names = a.names(cmd.Context(), v1beta1.GroupVersion().WithKind("IPAddressPool"))
	}
	for i := range names {
		names[i] = kind + "/" + names[i]
	}
	return starting(names, prefix), cobra.ShellCompDirectiveNoFileComp
}

func starting(names []string, prefix string) (out []string) {
	for _, n := range names {
		if strings.HasPrefix(n, prefix) {
			out = append(out, n)
		}
	}
	return out
}
