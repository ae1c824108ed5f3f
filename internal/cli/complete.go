package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/spec"
)

// completionTimeout is how long somebody waits at the Tab key.
const completionTimeout = 3 * time.Second

// completer says what may be written where the cursor is.
type completer = func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective)

// names lists the names of a kind, metadata alone; nothing when they cannot be had.
func (a *app) names(ctx context.Context, gvk schema.GroupVersionKind, opts ...client.ListOption) (names []string) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
	a.listForTab(ctx, &list, opts...)
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// listForTab fills a list, or leaves it as it is: at the Tab key nobody reads errors.
func (a *app) listForTab(ctx context.Context, list client.ObjectList, opts ...client.ListOption) {
	c, err := a.connect()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	_ = c.client.List(ctx, list, opts...)
}

// completeNames completes the names of a kind.
func (a *app) completeNames(gvk schema.GroupVersionKind) completer {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return starting(a.names(cmd.Context(), gvk), prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// onlyFirst completes the first argument and no other.
func onlyFirst(complete completer) completer {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return complete(cmd, args, prefix)
	}
}

// completeContexts completes the names that the kubeconfig has.
func (a *app) completeContexts(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	config, err := a.flags.ToRawKubeConfigLoader().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return starting(slices.Sorted(maps.Keys(config.Contexts)), prefix), cobra.ShellCompDirectiveNoFileComp
}

// completeSubjects completes KIND/NAME, the kind first.
func (a *app) completeSubjects(kinds ...string) completer {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		kind, _, named := strings.Cut(prefix, "/")
		if !named {
			return starting(withSlash(kinds), prefix), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		if slices.Contains(kinds, kind) {
			names = a.namesOf(cmd.Context(), kind)
		}
		for i := range names {
			names[i] = kind + "/" + names[i]
		}
		return starting(names, prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

func withSlash(kinds []string) (out []string) {
	for _, k := range kinds {
		out = append(out, k+"/")
	}
	return out
}

func (a *app) namesOf(ctx context.Context, kind string) []string {
	namespace, _ := a.namespace(true)
	in := client.InNamespace(namespace)
	switch kind {
	case "ip":
		return a.heldAddresses(ctx)
	case "svc":
		return a.names(ctx, kindNames()[kind], in, ofLoadBalancers())
	case "reservation":
		return a.names(ctx, kindNames()[kind], in)
	}
	return a.names(ctx, kindNames()[kind])
}

// heldAddresses are those that Services of all namespaces have.
func (a *app) heldAddresses(ctx context.Context) (names []string) {
	var list corev1.ServiceList
	a.listForTab(ctx, &list, ofLoadBalancers())
	for i := range list.Items {
		for _, held := range spec.ParseService(&list.Items[i]).Held {
			names = append(names, held.String())
		}
	}
	return names
}

func starting(names []string, prefix string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, prefix) })
}
