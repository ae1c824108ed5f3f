package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
	"github.com/belfry-lb/belfry/internal/migrate"
	"github.com/belfry-lb/belfry/internal/spec"
)

// group of our kinds, and migrator, the field manager of what a change-over applies.
const (
	group    = v1beta1.Group
	migrator = "kubectl-belfry-migrate"
)

// standing is where the change-over stands, with what the steps need to know besides.
type standing struct {
	migrate.State
	ours      bool // objects or copied Secrets are there that a change-over has made
	facts     explain.Facts
	workloads workloads
	before    before
	peers     []peer
}

// peer is a router as it is to be in the end.
type peer struct {
	name  string
	nodes []labels.Selector // none: all nodes
}

// before is what the DaemonSet of the old speakers was, and where it ran.
type before struct {
	Nodes    []string                       `json:"nodes"`
	Affinity *corev1.Affinity               `json:"affinity,omitempty"`
	Selector map[string]string              `json:"nodeSelector,omitempty"`
	Strategy appsv1.DaemonSetUpdateStrategy `json:"updateStrategy"`
}

// stand reads everything anew.
func (m *move) stand(ctx context.Context) (*standing, error) {
	s := &standing{}
	var err error
	if s.workloads, err = m.workloadsOf(ctx); err != nil {
		return nil, err
	}
	err = m.client.List(ctx, &v1beta1.IPAddressPoolList{}, client.Limit(1))
	if apierrors.IsNotFound(err) {
		s.Missing, s.Controller = []string{"CustomResourceDefinition of Belfry"}, s.workloads.assigns()
		return s, nil
	}
	if s.facts, err = (gatherer{m.client.List, m.app.system, m.time}).facts(ctx, needEndpoints); err != nil {
		return nil, err
	}
	if err := m.standObjects(ctx, s); err != nil {
		return nil, err
	}
	s.standPrograms()
	s.standServices(m.other.result)
	s.standNodes(m)
	s.standInstalled()
	return s, nil
}

func (w workloads) assigns() bool {
	return slices.ContainsFunc(w.controllers, func(d appsv1.Deployment) bool { return d.Spec.Replicas == nil || *d.Spec.Replicas > 0 })
}

// standObjects finds out which objects and Secrets of ours are there.
func (m *move) standObjects(ctx context.Context, s *standing) error {
	for _, secret := range m.other.result.Secrets {
		if err := m.standSecret(ctx, s, secret); err != nil {
			return err
		}
	}
	for _, want := range m.other.result.Objects {
		have := &unstructured.Unstructured{}
		have.SetGroupVersionKind(want.GroupVersionKind())
		err := m.client.Get(ctx, client.ObjectKeyFromObject(want), have)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("looking for %s %s: %w", want.GetKind(), want.GetName(), err)
		}
		s.standObject(want, have, err == nil)
	}
	return nil
}

func (m *move) standSecret(ctx context.Context, s *standing, secret migrate.Secret) error {
	var there metav1.PartialObjectMetadata
	there.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	err := m.client.Get(ctx, client.ObjectKey{Namespace: m.app.system, Name: secret.Name}, &there)
	if apierrors.IsNotFound(err) {
		s.Secrets = append(s.Secrets, secret)
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for Secret %s/%s: %w", m.app.system, secret.Name, err)
	}
	s.ours = s.ours || there.Annotations[v1beta1.AnnotationMigrateCopy] != ""
	return nil
}

func (s *standing) standObject(want, have *unstructured.Unstructured, there bool) {
	mine := there && managed(have)
	s.ours = s.ours || mine
	open := false // it would dial beside the old speakers
	if want.GetKind() == "BGPPeer" {
		s.peers = append(s.peers, peerOf(want))
		guarded := there && migrate.Guarded(have)
		s.Guarded = s.Guarded || guarded
		open = there && !guarded && !s.workloads.retired()
	}
	if !there || open || !mine && !contains(have.Object["spec"], want.Object["spec"]) {
		s.Want(want)
	}
}

// managed tells whether a change-over has applied the object.
func managed(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Manager == migrator })
}

// contains tells whether all that is wanted is there; what else is there does not matter: defaults, say.
func contains(have, want any) bool {
	w, is := want.(map[string]any)
	h, too := have.(map[string]any)
	if !is || !too {
		return equality.Semantic.DeepEqual(have, want)
	}
	for k, v := range w {
		if !contains(h[k], v) {
			return false
		}
	}
	return true
}

func peerOf(o *unstructured.Unstructured) peer {
	p := peer{name: o.GetName()}
	var typed v1beta1.BGPPeer
	b, err := json.Marshal(o.Object)
	if err != nil || json.Unmarshal(b, &typed) != nil {
		return p // it was read by its own type before, and cannot fail
	}
	for i := range typed.Spec.NodeSelectors {
		if s, err := metav1.LabelSelectorAsSelector(&typed.Spec.NodeSelectors[i]); err == nil {
			p.nodes = append(p.nodes, s)
		}
	}
	return p
}

func (p peer) selects(l labels.Set) bool {
	return len(p.nodes) == 0 || slices.ContainsFunc(p.nodes, func(s labels.Selector) bool { return s.Matches(l) })
}

// standPrograms looks at the old controller and the old speakers' DaemonSets.
func (s *standing) standPrograms() {
	s.Controller = s.workloads.assigns()
	for _, d := range s.workloads.controllers {
		s.Stopping = s.Stopping || !s.Controller && len(s.workloads.podsOf(d.Spec.Selector)) > 0
	}
	s.Retired = s.workloads.retired()
	for i := range s.workloads.speakers {
		d := &s.workloads.speakers[i]
		if b, patched := beforeOf(d); patched {
			s.Patched = true
			s.before.Nodes = append(s.before.Nodes, b.Nodes...)
		}
		s.Rolling = s.Rolling || rolling(d)
	}
}

// retired tells whether the old speakers can run nowhere.
func (w workloads) retired() bool {
	return !slices.ContainsFunc(w.speakers, func(d appsv1.DaemonSet) bool {
		return d.Spec.Template.Spec.NodeSelector[v1beta1.LabelMigrated] != never
	})
}

func rolling(d *appsv1.DaemonSet) bool {
	s := d.Status
	rolls := d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType
	return s.ObservedGeneration < d.Generation || s.NumberAvailable < s.DesiredNumberScheduled || rolls && s.UpdatedNumberScheduled < s.DesiredNumberScheduled
}

func beforeOf(d *appsv1.DaemonSet) (b before, patched bool) {
	text, patched := d.Annotations[v1beta1.AnnotationMigrateBefore]
	if patched && json.Unmarshal([]byte(text), &b) != nil {
		b = before{Strategy: d.Spec.UpdateStrategy}
	}
	return b, patched
}

// standServices looks for Services that are not ours yet, that nobody would answer for, and that would lose something.
func (s *standing) standServices(r migrate.Result) {
	now := explain.Look(s.facts)
	then := explain.Look(with(s.facts, r))
	for _, x := range s.facts.Services {
		o := x.Object
		held := spec.ParseService(o).Held
		if len(held) == 0 || o.DeletionTimestamp != nil {
			continue
		}
		name := o.Namespace + "/" + o.Name
		if !x.Ours {
			if slices.ContainsFunc(held, func(a addr) bool {
				return slices.ContainsFunc(then.Snapshot.Pools, func(p spec.Pool) bool { return p.Contains(a) })
			}) {
				s.Blocked = append(s.Blocked, fmt.Sprintf("Service %s is of class %q, which Belfry does not serve: see the chart's loadBalancerClass and handleUnclassed", name, class(o)))
			}
			continue
		}
		if v, ok := then.Verdict(keyOf(o)); ok {
			for _, a := range held {
				if !slices.ContainsFunc(v.Addresses, func(g assigned) bool { return g.Addr == a }) {
					s.Blocked = append(s.Blocked, fmt.Sprintf("Service %s would not keep %s: %s", name, a, v.Message))
				}
			}
		}
		if !adopted(o) {
			s.Foreign = append(s.Foreign, name)
		}
		if slices.ContainsFunc(held, func(a addr) bool { return now.Owner(a) != "" && len(now.Announcers(a)) == 0 }) {
			s.Silent = append(s.Silent, name)
		}
	}
}

func class(o *corev1.Service) string {
	if o.Spec.LoadBalancerClass == nil {
		return ""
	}
	return *o.Spec.LoadBalancerClass
}

// adopted tells whether the controller has marked the Service and says that it has what it asked for.
func adopted(o *corev1.Service) bool {
	return o.Annotations[v1beta1.AnnotationAllocatedFrom] != "" && slices.ContainsFunc(o.Status.Conditions, func(c metav1.Condition) bool {
		return c.Type == v1beta1.ConditionAllocated && c.Status == metav1.ConditionTrue
	})
}

// with returns the facts as they are once the objects are applied.
func with(f explain.Facts, r migrate.Result) explain.Facts {
	for _, u := range r.Objects {
		o, err := typed(u)
		if err != nil {
			continue // what cannot be read was noted before
		}
		if next, err := f.Apply(o); err == nil {
			f = next
		}
	}
	return f
}

// standInstalled finds out what of Belfry does not run.
func (s *standing) standInstalled() {
	if s.facts.Controller.Available == 0 {
		s.Missing = append(s.Missing, "ready controller")
	}
	for _, n := range s.facts.Nodes {
		here := slices.ContainsFunc(s.Nodes, func(x migrate.Node) bool { return x.Name == n.Object.Name && x.Running })
		if here && !(n.Status != nil && n.Status.Status.State == explain.StateReady && (!n.Pod.Known || n.Pod.Ready)) {
			s.Missing = append(s.Missing, "ready speaker on "+n.Object.Name)
		}
	}
}

// sessions tells which sessions a node's speaker has, and whether all that it should have are up and have sent.
func sessions(n explain.Node, peers []peer) (talking bool, waiting string) {
	var have []v1beta1.SpeakerPeer
	if n.Status != nil {
		have = n.Status.Status.BGP.Peers
	}
	talking = slices.ContainsFunc(have, func(p v1beta1.SpeakerPeer) bool { return p.State != v1beta1.SessionIdle })
	var wait []string
	for _, p := range peers {
		if !p.selects(n.Object.Labels) {
			continue
		}
		i := slices.IndexFunc(have, func(h v1beta1.SpeakerPeer) bool { return h.Name == p.name })
		switch {
		case i < 0 || have[i].State != v1beta1.SessionEstablished:
			wait = append(wait, "the session with "+p.name)
		case have[i].RoutesSent < have[i].RoutesWanted:
			wait = append(wait, fmt.Sprintf("routes to %s, %d of %d are sent", p.name, have[i].RoutesSent, have[i].RoutesWanted))
		}
	}
	return talking, strings.Join(wait, ", ")
}
