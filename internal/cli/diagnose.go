package cli

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/internal/explain"
)

// leaseEvery is how often a kubelet renews its Lease, unless told otherwise (a quarter of nodeLeaseDurationSeconds).
const leaseEvery = 10 * time.Second

// surroundings is what of a cluster matters to doctor besides the facts.
type surroundings struct {
	namespace   corev1.Namespace
	proxy       corev1.ConfigMap
	deployments appsv1.DeploymentList
	daemonSets  appsv1.DaemonSetList
	leases      coordinationv1.LeaseList
	crds        []explain.CRD
	server      time.Time // what the API server's clock said
	proxyFound  bool
	unread      []string
}

// diagnose reads all that doctor looks at. What may not be read is named, and the rest is looked at all the same.
func (a *app) diagnose(ctx context.Context, c *cluster) (explain.Cluster, error) {
	var s surroundings
	clock := &serverClock{}
	timed, err := c.with(clock)
	if err != nil {
		return explain.Cluster{}, err
	}
	var facts explain.Facts
	var notThere error
	unread := make([]string, 6)
	var all errgroup.Group
	all.Go(func() error {
		facts, notThere = gatherer{timed.client.List, a.system, a.now}.facts(ctx, needEndpoints)
		if notThere != nil && !strings.Contains(notThere.Error(), "is Belfry installed?") {
			return notThere
		}
		return nil
	})
	all.Go(func() error { return optional(&unread[0], "Deployments", c.client.List(ctx, &s.deployments)) })
	all.Go(func() error { return optional(&unread[1], "DaemonSets", c.client.List(ctx, &s.daemonSets)) })
	all.Go(func() error {
		return optional(&unread[2], "Leases of nodes", c.client.List(ctx, &s.leases, client.InNamespace(corev1.NamespaceNodeLease)))
	})
	all.Go(func() error {
		return optional(&unread[3], "namespace "+a.system, c.client.Get(ctx, types.NamespacedName{Name: a.system}, &s.namespace))
	})
	all.Go(func() error {
		err := c.client.Get(ctx, types.NamespacedName{Namespace: "kube-system", Name: "kube-proxy"}, &s.proxy)
		s.proxyFound = err == nil
		return optional(&unread[4], "ConfigMap kube-system/kube-proxy", err)
	})
	all.Go(func() (err error) {
		s.crds, err = c.crds(ctx)
		return optional(&unread[5], "CustomResourceDefinitions", err)
	})
	if err := all.Wait(); err != nil {
		return explain.Cluster{}, err
	}
	s.server = clock.now()
	s.unread = slices.DeleteFunc(unread, func(u string) bool { return u == "" })
	return a.clusterOf(facts, &s), nil
}

// optional notes what may not be read, and lets other failures pass through.
func optional(unread *string, what string, err error) error {
	switch {
	case err == nil || apierrors.IsNotFound(err):
		return nil
	case apierrors.IsForbidden(err):
		*unread = what + " (the ClusterRole belfry-viewer allows it)"
		return nil
	}
	return fmt.Errorf("reading %s: %w", what, err)
}

func (a *app) clusterOf(f explain.Facts, s *surroundings) explain.Cluster {
	c := explain.Cluster{
		Facts: f, System: a.system, CRDs: s.crds, Plugin: a.version, Unread: s.unread, Proxy: proxyOf(&s.proxy, s.proxyFound),
	}
	if s.namespace.Name != "" {
		c.Labels = s.namespace.Labels
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
	}
	for i := range s.deployments.Items {
		d := &s.deployments.Items[i]
		c.Workloads = append(c.Workloads, workload("Deployment", d, d.Spec.Template))
		if d.Namespace == a.system && isController(d) {
			c.Program = tagOf(c.Workloads[len(c.Workloads)-1].Images)
		}
	}
	for i := range s.daemonSets.Items {
		d := &s.daemonSets.Items[i]
		c.Workloads = append(c.Workloads, workload("DaemonSet", d, d.Spec.Template))
		if d.Namespace == a.system && d.Labels["app.kubernetes.io/component"] == "speaker" {
			c.Speakers = speakersOf(d)
		}
	}
	for _, l := range s.leases.Items {
		if l.Spec.RenewTime != nil {
			c.Clocks = append(c.Clocks, explain.Clock{Node: l.Name, Renewed: l.Spec.RenewTime.Time, Server: s.server, Every: leaseEvery})
		}
	}
	for _, x := range f.Services {
		if x.Ours {
			c.Writers = append(c.Writers, writersOf(x.Object)...)
		}
	}
	return c
}

func isController(d *appsv1.Deployment) bool {
	return d.Labels["app.kubernetes.io/name"] == "belfry" && d.Labels["app.kubernetes.io/component"] == "controller"
}

func workload(kind string, o client.Object, t corev1.PodTemplateSpec) explain.Workload {
	w := explain.Workload{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	for _, c := range t.Spec.Containers {
		w.Images = append(w.Images, c.Image)
	}
	return w
}

// tagOf returns the tag of the first image, "" for a digest.
func tagOf(images []string) string {
	if len(images) == 0 || strings.Contains(images[0], "@") {
		return ""
	}
	name := images[0][strings.LastIndex(images[0], "/")+1:]
	_, tag, _ := strings.Cut(name, ":")
	return tag
}

func speakersOf(d *appsv1.DaemonSet) explain.DaemonSet {
	s := explain.DaemonSet{Known: true, Wanted: d.Status.DesiredNumberScheduled, Ready: d.Status.NumberReady}
	if d.Status.CurrentNumberScheduled < d.Status.DesiredNumberScheduled {
		s.Message = "Pods cannot be created"
	}
	return s
}

// proxyOf reads the configuration that kubeadm and most others give kube-proxy.
func proxyOf(o *corev1.ConfigMap, found bool) explain.Proxy {
	var config struct {
		Mode string `json:"mode"`
		IPVS struct {
			StrictARP bool `json:"strictARP"`
		} `json:"ipvs"`
	}
	if !found || yaml.Unmarshal([]byte(o.Data["config.conf"]), &config) != nil {
		return explain.Proxy{Known: found}
	}
	return explain.Proxy{Known: true, Mode: config.Mode, StrictARP: config.IPVS.StrictARP}
}

// managers are the names under which Belfry itself writes; the second is that of its program run by hand.
func managers() []string { return []string{"belfry-controller", "belfry"} }

// writersOf lists who else has put addresses into the Service's status.
func writersOf(o *corev1.Service) (out []explain.Writer) {
	for _, m := range o.ManagedFields {
		ours := slices.Contains(managers(), m.Manager)
		if !ours && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:loadBalancer":{"f:ingress"`) {
			out = append(out, explain.Writer{Service: o.Namespace + "/" + o.Name, Manager: m.Manager})
		}
	}
	return out
}

// serverClock remembers the latest Date header: what the API server's clock said.
type serverClock struct{ latest atomic.Int64 }

func (s *serverClock) now() time.Time { return time.Unix(s.latest.Load(), 0) }

func (s *serverClock) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err == nil {
			if t, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
				s.latest.Store(t.Unix())
			}
		}
		return answer, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (rt roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return rt(r) }

// with returns the same cluster with a look at what passes.
func (c *cluster) with(clock *serverClock) (*cluster, error) {
	config := rest.CopyConfig(c.config)
	config.Wrap(clock.wrap)
	k, err := client.NewWithWatch(config, client.Options{Scheme: c.scheme, Mapper: c.mapper})
	if err != nil {
		return nil, fmt.Errorf("building the client: %w", err)
	}
	return &cluster{config, k, c.mapper, c.scheme}, nil
}
