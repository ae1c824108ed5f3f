package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/internal/migrate"
)

// other is the load balancer that is left: its configuration in our words, and its programs.
type other struct {
	result migrate.Result
	nodes  []corev1.Node // on which its speakers run, where that is known
}

// resourceOf is a kind that is read: the first version that the API server knows.
type resourceOf struct {
	group, resource string
	versions        []string
}

// kindsOf lists what is read of a system.
func kindsOf(system string) []resourceOf {
	switch system {
	case metalLB:
		return []resourceOf{
			{"metallb.io", "ipaddresspools", []string{"v1beta1"}},
			{"metallb.io", "addresspools", []string{"v1beta1", "v1alpha1"}},
			{"metallb.io", "l2advertisements", []string{"v1beta1"}},
			{"metallb.io", "bgpadvertisements", []string{"v1beta1"}},
			{"metallb.io", "bgppeers", []string{"v1beta2", "v1beta1"}},
			{"metallb.io", "bfdprofiles", []string{"v1beta1"}},
			{"metallb.io", "communities", []string{"v1beta1"}},
			{"frrk8s.metallb.io", "frrconfigurations", []string{"v1beta1"}},
		}
	case "cilium":
		return []resourceOf{
			{"cilium.io", "ciliumloadbalancerippools", []string{"v2", "v2alpha1"}},
			{"cilium.io", "ciliuml2announcementpolicies", []string{"v2", "v2alpha1"}},
			{"cilium.io", "ciliumbgpclusterconfigs", []string{"v2", "v2alpha1"}},
			{"cilium.io", "ciliumbgppeerconfigs", []string{"v2", "v2alpha1"}},
			{"cilium.io", "ciliumbgpadvertisements", []string{"v2", "v2alpha1"}},
		}
	case "openelb":
		return []resourceOf{{"network.kubesphere.io", "eips", []string{"v1alpha2"}}}
	}
	return nil
}

// readOther reads the other's configuration from files, or else from the cluster.
func (a *app) readOther(ctx context.Context, c *cluster, m migration) (other, error) {
	if !m.live() {
		return a.readFiles(m)
	}
	d, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return other{}, fmt.Errorf("building the client: %w", err)
	}
	var objects []*unstructured.Unstructured
	for _, k := range kindsOf(m.system) {
		found, err := listOf(ctx, d, k)
		if err != nil {
			return other{}, err
		}
		objects = append(objects, found...)
	}
	o := other{}
	more, err := c.programsOf(ctx, m.system, &o)
	if err != nil {
		return other{}, err
	}
	o.result = migrate.From(append(objects, more...))
	return o, nil
}

func (a *app) readFiles(m migration) (other, error) {
	objects, err := a.readObjects(m.files, true)
	if err != nil || len(m.values) == 0 {
		return other{result: migrate.From(objects)}, err
	}
	texts := make([]string, len(m.values))
	for i, file := range m.values {
		b, err := os.ReadFile(file)
		if err != nil {
			return other{}, fmt.Errorf("reading values: %w", err)
		}
		texts[i] = string(b)
	}
	chart, err := migrate.ChartValues(texts...)
	if err != nil {
		return other{}, err
	}
	return other{result: migrate.From(append(objects, chart))}, nil
}

// listOf lists a kind; nothing where the API server does not know it.
func listOf(ctx context.Context, d dynamic.Interface, k resourceOf) (out []*unstructured.Unstructured, err error) {
	for _, version := range k.versions {
		r := d.Resource(schema.GroupVersionResource{Group: k.group, Version: version, Resource: k.resource})
		list, err := r.List(ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s.%s: %w", k.resource, k.group, err)
		}
		for i := range list.Items {
			if o := &list.Items[i]; !generated(o) {
				out = append(out, o)
			}
		}
		return out, nil
	}
	return nil, nil
}

// generated tells whether MetalLB itself has written the object, for its FRR.
func generated(o *unstructured.Unstructured) bool {
	return o.GetKind() == "FRRConfiguration" && strings.HasPrefix(o.GetName(), "metallb-")
}

// programsOf reads what is configured by flags and ConfigMaps.
func (c *cluster) programsOf(ctx context.Context, system string, o *other) ([]*unstructured.Unstructured, error) {
	switch system {
	case "kube-vip":
		return c.configMaps(ctx, "kube-system", "kubevip")
	case metalLB:
		w, err := c.workloadsOf(ctx)
		if err != nil {
			return nil, err
		}
		if o.nodes, err = c.nodesNamed(ctx, w.runsOn()); err != nil {
			return nil, err
		}
		out, err := c.configMaps(ctx, w.namespace(), w.configMaps()...)
		if err != nil {
			return nil, err
		}
		more, err := w.objects()
		return append(out, more...), err
	}
	return nil, nil
}

func (c *cluster) nodesNamed(ctx context.Context, names []string) ([]corev1.Node, error) {
	var list corev1.NodeList
	if err := c.client.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(n corev1.Node) bool { return !slices.Contains(names, n.Name) }), nil
}

func (c *cluster) configMaps(ctx context.Context, namespace string, names ...string) (out []*unstructured.Unstructured, err error) {
	for _, name := range names {
		var m corev1.ConfigMap
		err := c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &m)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, name, err)
		}
		u, err := untyped(&m, "v1", "ConfigMap")
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

func untyped(o any, apiVersion, kind string) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kind, err)
	}
	u := &unstructured.Unstructured{Object: m}
	u.SetAPIVersion(apiVersion)
	u.SetKind(kind)
	return u, nil
}

// workloads are the other's programs.
type workloads struct {
	controllers []appsv1.Deployment
	speakers    []appsv1.DaemonSet // with frr-k8s, which holds the sessions where it is used
	pods        []corev1.Pod       // of both
}

// workloadsOf finds MetalLB's, however it was installed.
func (c *cluster) workloadsOf(ctx context.Context) (w workloads, err error) {
	var deployments appsv1.DeploymentList
	if err := c.client.List(ctx, &deployments); err != nil {
		return w, fmt.Errorf("listing Deployments: %w", err)
	}
	for _, d := range deployments.Items {
		if component(d.Labels, metalLB) == "controller" {
			w.controllers = append(w.controllers, d)
		}
	}
	var daemons appsv1.DaemonSetList
	if err := c.client.List(ctx, &daemons); err != nil {
		return w, fmt.Errorf("listing DaemonSets: %w", err)
	}
	for _, d := range daemons.Items {
		if component(d.Labels, metalLB) == "speaker" || component(d.Labels, "frr-k8s") == "frr-k8s" {
			w.speakers = append(w.speakers, d)
		}
	}
	// An frr-k8s of somebody else's is none of our business.
	w.speakers = slices.DeleteFunc(w.speakers, func(d appsv1.DaemonSet) bool { return d.Namespace != w.namespace() })
	slices.SortFunc(w.speakers, func(a, b appsv1.DaemonSet) int { return cmp.Compare(a.Name, b.Name) })
	if w.namespace() == "" {
		return w, nil
	}
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, client.InNamespace(w.namespace())); err != nil {
		return w, fmt.Errorf("listing Pods: %w", err)
	}
	w.pods = pods.Items
	return w, nil
}

// component returns which part of a program the labels stand for, "" when they are not of it.
func component(l map[string]string, program string) string {
	switch program {
	case l["app.kubernetes.io/name"]:
		return l["app.kubernetes.io/component"]
	case l["app"]:
		return l["component"]
	}
	return ""
}

// namespace that the programs are in, "" when there are none.
func (w workloads) namespace() string {
	for _, d := range w.controllers {
		return d.Namespace
	}
	for _, d := range w.speakers {
		if component(d.Labels, metalLB) != "" {
			return d.Namespace
		}
	}
	return ""
}

// configMaps are those that hold MetalLB's configuration, by name.
func (w workloads) configMaps() []string {
	names := []string{"config", "bgpextras"}
	for _, d := range w.controllers {
		for _, c := range d.Spec.Template.Spec.Containers {
			if name := migrate.ConfigMapOf(c.Args); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

func (w workloads) objects() (out []*unstructured.Unstructured, err error) {
	for i := range w.controllers {
		u, err := untyped(&w.controllers[i], "apps/v1", "Deployment")
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	for i := range w.speakers {
		u, err := untyped(&w.speakers[i], "apps/v1", "DaemonSet")
		if err != nil {
			return nil, err
		}
		out = append(out, u)
	}
	return out, nil
}

// podsOf returns the Pods that a selector chooses and that have not ended; one that is told to end may run for a while.
func (w workloads) podsOf(s *metav1.LabelSelector) (out []corev1.Pod) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil || selector.Empty() {
		return nil
	}
	for _, p := range w.pods {
		ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		if !ended && selector.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// speakerPods returns the Pods of all speakers, by node.
func (w workloads) speakerPods() map[string][]corev1.Pod {
	out := map[string][]corev1.Pod{}
	for _, d := range w.speakers {
		for _, p := range w.podsOf(d.Spec.Selector) {
			if p.Spec.NodeName != "" {
				out[p.Spec.NodeName] = append(out[p.Spec.NodeName], p)
			}
		}
	}
	return out
}

// runsOn lists the nodes with a speaker.
func (w workloads) runsOn() (nodes []string) {
	for name := range w.speakerPods() {
		nodes = append(nodes, name)
	}
	slices.Sort(nodes)
	return nodes
}

// imagined is the State from which a change-over begins, as far as it can be told without a look at the cluster's own.
func (o other) imagined() migrate.State {
	s := migrate.State{Controller: true, Secrets: o.result.Secrets, Foreign: []string{"all Services"}}
	for _, x := range o.result.Objects {
		s.Want(x)
	}
	if len(s.L2) > 0 {
		s.Silent = []string{"all addresses"}
	}
	for _, n := range o.nodes {
		s.Nodes = append(s.Nodes, migrate.Node{Name: n.Name, Running: true})
	}
	if len(s.Nodes) == 0 {
		s.Nodes = []migrate.Node{{Name: "each node", Running: true}}
	}
	return s
}

// gap tells what is to be expected where one node only speaks to routers.
func (o other) gap() string {
	var peers []peer
	for _, x := range o.result.Objects {
		if x.GetKind() == "BGPPeer" {
			peers = append(peers, peerOf(x))
		}
	}
	speaking := 0
	for _, n := range o.nodes {
		if slices.ContainsFunc(peers, func(p peer) bool { return p.selects(n.Labels) }) {
			speaking++
		}
	}
	return migrate.Gap(speaking > 0, speaking)
}
