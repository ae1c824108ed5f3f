package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
)

// need says what a command must know besides what all need; the rest is not asked for.
type need uint8

const (
	needServices  need = 1 << iota // and what decides about their addresses
	needEndpoints                  // of all Services
)

// settings are what the running controller was told.
type settings struct {
	classes                kube.Classes
	rules                  spec.NodeRules
	serviceCIDRs, podCIDRs []string
}

// gatherer reads facts.
type gatherer struct {
	list   lister
	system string
	now    func() time.Time
}

// raw is what was read, before it is put together.
type raw struct {
	pools        v1beta1.IPAddressPoolList
	l2           v1beta1.L2AdvertisementList
	bgp          v1beta1.BGPAdvertisementList
	peers        v1beta1.BGPPeerList
	communities  v1beta1.CommunityList
	profiles     v1beta1.BFDProfileList
	reservations v1beta1.IPReservationList
	statuses     v1beta1.SpeakerStatusList
	nodes        corev1.NodeList
	services     corev1.ServiceList
	endpoints    discoveryv1.EndpointSliceList
	namespaces   corev1.NamespaceList
	cidrs        networkingv1.ServiceCIDRList
	pods         corev1.PodList
	deployments  appsv1.DeploymentList
	podsKnown    bool
}

// facts reads what is needed, all at once.
func (g gatherer) facts(ctx context.Context, what need) (explain.Facts, error) {
	var r raw
	all, ctx := errgroup.WithContext(ctx)
	read := func(l client.ObjectList, opts ...client.ListOption) {
		all.Go(func() error { return g.read(ctx, l, opts...) })
	}
	system := client.InNamespace(g.system)
	for _, l := range []client.ObjectList{&r.pools, &r.l2, &r.bgp, &r.peers, &r.communities, &r.profiles, &r.statuses, &r.nodes} {
		read(l)
	}
	all.Go(func() error {
		ok, err := g.readIfAllowed(ctx, &r.pods, system, client.MatchingLabels(kube.SpeakerPodLabels()))
		r.podsKnown = ok
		return err
	})
	all.Go(func() error {
		_, err := g.readIfAllowed(ctx, &r.deployments, system, controllerLabels())
		return err
	})
	if what&(needServices|needEndpoints) != 0 {
		read(&r.services, ofLoadBalancers())
		read(&r.reservations)
		read(&r.namespaces)
		all.Go(func() error { _, err := g.readIfAllowed(ctx, &r.cidrs); return err })
	}
	if what&needEndpoints != 0 {
		read(&r.endpoints)
	}
	if err := all.Wait(); err != nil {
		return explain.Facts{}, err
	}
	return g.join(&r)
}

func ofLoadBalancers() client.ListOption {
	return client.MatchingFieldsSelector{Selector: loadBalancers()}
}

func loadBalancers() fields.Selector {
	return fields.OneTermEqualSelector("spec.type", string(corev1.ServiceTypeLoadBalancer))
}

func controllerLabels() client.MatchingLabels {
	return client.MatchingLabels{"app.kubernetes.io/name": "belfry", "app.kubernetes.io/component": "controller"}
}

// read fills a list; it says what is missing when our kinds are not there.
func (g gatherer) read(ctx context.Context, l client.ObjectList, opts ...client.ListOption) error {
	err := g.list(ctx, l, opts...)
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the cluster does not know %s: is Belfry installed? (helm install belfry charts/belfry)", plural(l))
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w (the ClusterRole belfry-viewer allows all that is read)", err)
	}
	return fmt.Errorf("listing %s: %w", plural(l), err)
}

// readIfAllowed is read for what one can do without; false when it could not be read.
func (g gatherer) readIfAllowed(ctx context.Context, l client.ObjectList, opts ...client.ListOption) (bool, error) {
	err := g.list(ctx, l, opts...)
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("listing %s: %w", plural(l), err)
	}
	return true, nil
}

func plural(l client.ObjectList) string {
	name := fmt.Sprintf("%T", l)
	return strings.TrimSuffix(name[strings.LastIndex(name, ".")+1:], "List") + "s"
}

// join puts together what was read.
func (g gatherer) join(r *raw) (explain.Facts, error) {
	f := explain.Facts{
		Now: g.now(),
		Objects: spec.Objects{
			Pools: r.pools.Items, L2Advertisements: r.l2.Items, BGPPeers: r.peers.Items, BGPAdvertisements: r.bgp.Items,
			Communities: r.communities.Items, BFDProfiles: r.profiles.Items,
		},
		Namespaces: map[string]labels.Set{}, Reservations: r.reservations.Items,
	}
	s := settingsOf(r.deployments.Items)
	for i := range r.namespaces.Items {
		f.Namespaces[r.namespaces.Items[i].Name] = r.namespaces.Items[i].Labels
	}
	f.OursIs, f.Rules = s.classes.Ours, s.rules
	f.Endpoints = endpointsIn(r)
	f.Services = servicesOf(r, f)
	f.Nodes = nodesOf(r)
	f.Controller = controllerOf(r.deployments.Items)
	var err error
	f.Used, err = usedBy(r, s)
	return f, err
}

func endpointsIn(r *raw) map[types.NamespacedName]spec.Endpoints {
	slicesOf := map[types.NamespacedName][]discoveryv1.EndpointSlice{}
	for _, e := range r.endpoints.Items {
		key := types.NamespacedName{Namespace: e.Namespace, Name: e.Labels[discoveryv1.LabelServiceName]}
		slicesOf[key] = append(slicesOf[key], e)
	}
	out := make(map[types.NamespacedName]spec.Endpoints, len(slicesOf))
	for key, list := range slicesOf {
		out[key] = spec.ParseEndpoints(list)
	}
	return out
}

func servicesOf(r *raw, f explain.Facts) (out []explain.Service) {
	for i := range r.services.Items {
		o := &r.services.Items[i]
		if o.Spec.Type == corev1.ServiceTypeLoadBalancer {
			out = append(out, explain.Service{Object: o, Ours: f.OursIs(o), Endpoints: f.Endpoints[keyOf(o)]})
		}
	}
	return out
}

func nodesOf(r *raw) []explain.Node {
	statuses := map[string]*v1beta1.SpeakerStatus{}
	for i := range r.statuses.Items {
		statuses[r.statuses.Items[i].Name] = &r.statuses.Items[i]
	}
	pods := map[string]explain.Pod{}
	for i := range r.pods.Items {
		p := &r.pods.Items[i]
		if old, has := pods[p.Spec.NodeName]; (!has || !old.Ready) && p.DeletionTimestamp == nil {
			pods[p.Spec.NodeName] = podOf(p)
		}
	}
	out := make([]explain.Node, len(r.nodes.Items))
	for i := range r.nodes.Items {
		name := r.nodes.Items[i].Name
		pod := pods[name]
		pod.Known = r.podsKnown
		out[i] = explain.Node{Object: &r.nodes.Items[i], Status: statuses[name], Pod: pod}
	}
	slices.SortFunc(out, func(a, b explain.Node) int { return cmp.Compare(a.Object.Name, b.Object.Name) })
	return out
}

func podOf(p *corev1.Pod) explain.Pod {
	out := explain.Pod{Name: p.Name}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			out.Ready = c.Status == corev1.ConditionTrue
		}
		if c.Status == corev1.ConditionFalse && c.Message != "" {
			out.Message = c.Message
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		out.Restarts += c.RestartCount
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			out.Message = strings.TrimSuffix(w.Reason+": "+w.Message, ": ")
		}
	}
	return out
}

func controllerOf(deployments []appsv1.Deployment) (c explain.Controller) {
	for i := range deployments {
		c.Known = true
		c.Available += deployments[i].Status.AvailableReplicas
		c.Wanted += deployments[i].Status.Replicas
	}
	return c
}

// settingsOf reads the flags of the controller that runs; what cannot be seen is as the defaults have it.
func settingsOf(deployments []appsv1.Deployment) settings {
	s := settings{classes: kube.DefaultClasses()}
	for i := range deployments {
		for _, c := range deployments[i].Spec.Template.Spec.Containers {
			fs := pflag.NewFlagSet("controller", pflag.ContinueOnError)
			fs.ParseErrorsAllowlist.UnknownFlags = true
			fs.Usage = func() {}
			s.classes.AddFlags(fs)
			kube.AddNodeFlags(fs, &s.rules)
			fs.StringSliceVar(&s.serviceCIDRs, "service-cidrs", s.serviceCIDRs, "")
			fs.StringSliceVar(&s.podCIDRs, "pod-cidrs", s.podCIDRs, "")
			_ = fs.Parse(c.Args) // what does not parse did not start
		}
	}
	return s
}

func usedBy(r *raw, s settings) ([]spec.Occupied, error) {
	services, err := spec.ParseOccupied("Service CIDR", s.serviceCIDRs)
	if err != nil {
		return nil, fmt.Errorf("reading the controller's --service-cidrs: %w", err)
	}
	used, err := spec.ParseOccupied("pod CIDR", s.podCIDRs)
	if err != nil {
		return nil, fmt.Errorf("reading the controller's --pod-cidrs: %w", err)
	}
	used = append(used, services...)
	for i := range r.nodes.Items {
		used = append(used, spec.OccupiedByNode(&r.nodes.Items[i])...)
	}
	for i := range r.cidrs.Items {
		used = append(used, spec.OccupiedByServices(&r.cidrs.Items[i])...)
	}
	for i := range r.services.Items {
		if o := &r.services.Items[i]; o.Spec.Type == corev1.ServiceTypeLoadBalancer && !s.classes.Ours(o) {
			used = append(used, spec.OccupiedByForeign(o)...)
		}
	}
	return used, nil
}

func keyOf(o client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
