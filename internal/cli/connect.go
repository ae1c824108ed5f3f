package cli

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// cluster is an API server to ask.
type cluster struct {
	config *rest.Config
	client client.WithWatch
	mapper meta.RESTMapper
	scheme *runtime.Scheme
}

// lister fills a list, as client.Client.List does. All of it is asked for at once: so the API server answers from its memory.
type lister func(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error

// connect reads the kubeconfig. Nothing is asked of the API server, not even what it serves: the kinds are known.
func (a *app) connect() (*cluster, error) {
	config, err := a.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl-belfry/" + a.version
	config.QPS = -1 // a command asks a dozen questions and ends
	config.WarningHandler = rest.NoWarnings{}
	c := &cluster{config: config}
	if c.scheme, c.mapper, err = kinds(); err != nil {
		return nil, err
	}
	if c.client, err = client.NewWithWatch(config, client.Options{Scheme: c.scheme, Mapper: c.mapper}); err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return c, nil
}

// kinds returns the few that the plugin reads and where they are found.
func kinds() (*runtime.Scheme, meta.RESTMapper, error) {
	s := runtime.NewScheme()
	builders := []func(*runtime.Scheme) error{
		corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, appsv1.AddToScheme,
		coordinationv1.AddToScheme, authorizationv1.AddToScheme, v1beta1.AddToScheme,
	}
	for _, add := range builders {
		if err := add(s); err != nil {
			return nil, nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	m := meta.NewDefaultRESTMapper(nil)
	for gvk := range s.AllKnownTypes() {
		m.Add(gvk, scopeOf(gvk))
	}
	m.Add(crdKind(), meta.RESTScopeRoot)
	return s, m, nil
}

func crdKind() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
}

func scopeOf(gvk schema.GroupVersionKind) meta.RESTScope {
	switch gvk.Kind {
	case "Node", "Namespace", "ServiceCIDR", "SelfSubjectAccessReview", "PersistentVolume":
		return meta.RESTScopeRoot
	case "IPReservation":
		return meta.RESTScopeNamespace
	}
	if gvk.Group == v1beta1.Group {
		return meta.RESTScopeRoot
	}
	return meta.RESTScopeNamespace
}

// ownKinds lists the kinds of our group, by name.
func (c *cluster) ownKinds() (out []schema.GroupVersionKind) {
	own := reflect.TypeFor[v1beta1.IPAddressPool]().PkgPath()
	for gvk, t := range c.scheme.AllKnownTypes() {
		if gvk.Group == v1beta1.Group && t.PkgPath() == own && !strings.HasSuffix(gvk.Kind, "List") {
			out = append(out, gvk)
		}
	}
	slices.SortFunc(out, func(a, b schema.GroupVersionKind) int { return strings.Compare(a.Kind, b.Kind) })
	return out
}

func groupVersion() string { return v1beta1.GroupVersion().String() }

// core returns a client for what is not an object: logs and metrics of Pods.
func (c *cluster) core() (rest.Interface, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion, config.APIPath = &corev1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = serializer.NewCodecFactory(c.scheme).WithoutConversion()
	r, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return r, nil
}
