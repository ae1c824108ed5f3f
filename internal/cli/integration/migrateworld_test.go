package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// world does what the controllers, kubelets and speakers of a cluster would do, and watches what must never happen.
//
//	DaemonSet, labels of nodes ──▶ old speakers' Pods     IPAddressPools ──▶ Services adopted
//	BGPPeers, labels of nodes ──▶ sessions, a turn later  L2Advertisements ──▶ addresses answered for
type world struct {
	t         *testing.T
	addresses map[string]string
	begun     atomic.Bool // something has been written by the change-over

	nodes    []corev1.Node
	peers    []v1beta1.BGPPeer
	old      map[string]bool             // Pods of the old speakers, "speaker-n1"
	ending   map[string]bool             // those of them that end with the next turn
	sessions map[string]map[string]phase // by node and peer
}

// phase of a session: it takes a turn to be up, and some to be gone.
type phase int

const (
	trying phase = iota + 1
	up
	closing
	closed = closing + 8
)

// startWorld turns until the test ends.
func startWorld(t *testing.T) *world {
	w := &world{t: t, old: map[string]bool{}, ending: map[string]bool{}, sessions: map[string]map[string]phase{}}
	w.addresses = w.serviceAddresses(t.Context())
	w.turn(t.Context())
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			w.turn(ctx)
		}
	})
	t.Cleanup(func() { cancel(); all.Wait() })
	return w
}

// check reports an error of the API server, unless the test is over or somebody wrote at the same time.
func (w *world) check(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		w.t.Error(err)
	}
}

func (w *world) turn(ctx context.Context) {
	var nodes corev1.NodeList
	var peers v1beta1.BGPPeerList
	// The peers are read before the labels: so no session is opened by an old label and a new peer.
	w.check(ctx, shared.client.List(ctx, &peers))
	w.check(ctx, shared.client.List(ctx, &nodes))
	if ctx.Err() != nil {
		return
	}
	w.nodes, w.peers = nodes.Items, peers.Items
	w.oldController(ctx)
	w.oldSpeakers(ctx, "speaker")
	w.oldSpeakers(ctx, "frr-k8s")
	w.newSessions()
	w.watchNodes()
	w.adopt(ctx)
	w.report(ctx)
	w.watchAddresses(ctx)
}

func (w *world) oldController(ctx context.Context) {
	var d appsv1.Deployment
	if err := shared.client.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: "controller"}, &d); err != nil {
		w.check(ctx, err)
		return
	}
	if d.Annotations[v1beta1.AnnotationMigrateReplicas] != "" {
		w.begun.Store(true)
	}
	w.pod(ctx, "controller", "n1", d.Spec.Selector.MatchLabels, *d.Spec.Replicas > 0)
}

// pod has a Pod of MetalLB run or not.
func (w *world) pod(ctx context.Context, name, node string, l map[string]string, runs bool) {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "metallb-system", Name: name, Labels: l},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "x", Image: "x"}}},
	}
	if !runs {
		w.check(ctx, client.IgnoreNotFound(shared.client.Delete(ctx, p, client.GracePeriodSeconds(0))))
		return
	}
	err := shared.client.Create(ctx, p)
	if apierrors.IsAlreadyExists(err) {
		return
	}
	w.check(ctx, err)
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}}
	w.check(ctx, shared.client.Status().Update(ctx, p))
}

// oldSpeakers does what the DaemonSet controller does: a Pod on every node that the template as it is now may run on.
func (w *world) oldSpeakers(ctx context.Context, name string) {
	var d appsv1.DaemonSet
	if err := shared.client.Get(ctx, client.ObjectKey{Namespace: "metallb-system", Name: name}, &d); err != nil {
		w.check(ctx, err)
		return
	}
	spec := d.Spec.Template.Spec
	wanted := int32(0)
	for _, n := range w.nodes {
		runs := labels.SelectorFromSet(spec.NodeSelector).Matches(labels.Set(n.Labels)) && tolerable(spec.Affinity, n.Labels)
		pod := name + "-" + n.Name
		switch {
		case w.old[pod] && !runs && !w.ending[pod]:
			w.ending[pod] = true
		case w.old[pod] != runs:
			w.ending[pod] = false
			w.pod(ctx, pod, n.Name, d.Spec.Selector.MatchLabels, runs)
			w.old[pod] = runs
		}
		if runs {
			wanted++
		}
	}
	status := appsv1.DaemonSetStatus{
		ObservedGeneration: d.Generation, DesiredNumberScheduled: wanted, CurrentNumberScheduled: wanted,
		NumberReady: wanted, NumberAvailable: wanted, UpdatedNumberScheduled: wanted,
	}
	if d.Status.ObservedGeneration != status.ObservedGeneration || d.Status.NumberAvailable != wanted {
		d.Status = status
		w.check(ctx, shared.client.Status().Update(ctx, &d))
	}
}

// tolerable goes by required terms, of which one must hold; the operators are those of this test.
func tolerable(a *corev1.Affinity, l map[string]string) bool {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	return slices.ContainsFunc(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms, func(t corev1.NodeSelectorTerm) bool {
		return !slices.ContainsFunc(t.MatchExpressions, func(r corev1.NodeSelectorRequirement) bool {
			_, has := l[r.Key]
			return has != (r.Operator == corev1.NodeSelectorOpExists)
		})
	})
}

// newSessions opens and closes sessions as peers and labels say.
func (w *world) newSessions() {
	for _, n := range w.nodes {
		next := map[string]phase{}
		for name, now := range w.sessions[n.Name] {
			if now < closed {
				next[name] = max(now+1, closing)
			}
		}
		for i := range w.peers {
			p := &w.peers[i]
			switch now := w.sessions[n.Name][p.Name]; {
			case !selects(p, n.Labels):
			case now == trying || now == up:
				next[p.Name] = up
			default:
				next[p.Name] = trying
			}
		}
		w.sessions[n.Name] = next
	}
}

func selects(p *v1beta1.BGPPeer, l map[string]string) bool {
	return len(p.Spec.NodeSelectors) == 0 || slices.ContainsFunc(p.Spec.NodeSelectors, func(s metav1.LabelSelector) bool {
		selector, err := metav1.LabelSelectorAsSelector(&s)
		return err == nil && selector.Matches(labels.Set(l))
	})
}

// watchNodes: two speakers never dial from one node, and at most one node at a time has neither.
func (w *world) watchNodes() {
	between := []string{}
	for _, n := range w.nodes {
		old := w.old["speaker-"+n.Name] || w.old["frr-k8s-"+n.Name]
		if old && len(w.sessions[n.Name]) > 0 {
			w.t.Errorf("both speakers dial from %s: %v", n.Name, w.sessions[n.Name])
		}
		told := slices.Contains(slices.Collect(maps.Values(w.sessions[n.Name])), up)
		if len(w.peers) > 0 && !old && !told {
			between = append(between, n.Name)
		}
	}
	if len(between) > 1 {
		w.t.Errorf("no routes from %v at the same time", between)
	}
}

// adopt marks Services as the controller does that finds their addresses in a pool.
func (w *world) adopt(ctx context.Context) {
	var pools v1beta1.IPAddressPoolList
	w.check(ctx, shared.client.List(ctx, &pools))
	var services corev1.ServiceList
	w.check(ctx, shared.client.List(ctx, &services, client.InNamespace("default")))
	for i := range services.Items {
		s := &services.Items[i]
		if i := slices.IndexFunc(pools.Items, gives); i >= 0 && s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Annotations[v1beta1.AnnotationAllocatedFrom] == "" {
			w.t.Errorf("%s is not adopted, and pool %s gives addresses already: it might be given another", s.Name, pools.Items[i].Name)
		}
		if len(pools.Items) == 0 || s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Annotations[v1beta1.AnnotationAllocatedFrom] != "" {
			continue
		}
		s.Annotations = map[string]string{v1beta1.AnnotationAllocatedFrom: pools.Items[0].Name}
		w.check(ctx, shared.client.Update(ctx, s))
		s.Status.Conditions = []metav1.Condition{{
			Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, Reason: "Allocated", LastTransitionTime: metav1.Now(),
		}}
		w.check(ctx, shared.client.Status().Update(ctx, s))
	}
}

// gives tells whether a pool gives addresses to Services that ask for none in particular.
func gives(p v1beta1.IPAddressPool) bool { return p.Spec.AutoAssign == nil || *p.Spec.AutoAssign }

// report writes what each speaker says of itself.
func (w *world) report(ctx context.Context) {
	var l2 v1beta1.L2AdvertisementList
	w.check(ctx, shared.client.List(ctx, &l2))
	for _, n := range w.nodes {
		var s v1beta1.SpeakerStatus
		if err := shared.client.Get(ctx, client.ObjectKey{Name: n.Name}, &s); err != nil {
			w.check(ctx, err)
			continue
		}
		was := fmt.Sprint(s.Status.BGP.Peers, s.Status.L2.Addresses)
		s.Status.BGP.Peers, s.Status.L2.Addresses = nil, nil
		for _, name := range slices.Sorted(maps.Keys(w.sessions[n.Name])) {
			p := v1beta1.SpeakerPeer{Name: name, State: v1beta1.SessionConnecting, RoutesWanted: 2}
			if w.sessions[n.Name][name] != trying {
				p.State, p.RoutesSent = v1beta1.SessionEstablished, 2
			}
			s.Status.BGP.Peers = append(s.Status.BGP.Peers, p)
		}
		if len(l2.Items) > 0 && n.Name != "n3" {
			s.Status.L2.Addresses = []string{"192.0.2.10-192.0.2.11"}
		}
		if fmt.Sprint(s.Status.BGP.Peers, s.Status.L2.Addresses) != was {
			w.check(ctx, shared.client.Status().Update(ctx, &s))
		}
	}
}

func (w *world) serviceAddresses(ctx context.Context) map[string]string {
	var services corev1.ServiceList
	w.check(ctx, shared.client.List(ctx, &services, client.InNamespace("default")))
	out := map[string]string{}
	for _, s := range services.Items {
		for _, i := range s.Status.LoadBalancer.Ingress {
			out[s.Name] += i.IP
		}
	}
	return out
}

func (w *world) watchAddresses(ctx context.Context) {
	now := w.serviceAddresses(ctx)
	for name, want := range w.addresses {
		if got := now[name]; got != want && ctx.Err() == nil {
			w.t.Errorf("Service %s had %s and has %q", name, want, got)
		}
	}
}

// programs are MetalLB's, as they are now.
func programs(t *testing.T) (controller appsv1.Deployment, speaker appsv1.DaemonSet) {
	t.Helper()
	for name, o := range map[string]client.Object{"controller": &controller, "speaker": &speaker} {
		if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: "metallb-system", Name: name}, o); err != nil {
			t.Fatal(err)
		}
	}
	return controller, speaker
}

func oldPods(t *testing.T) (out int) {
	t.Helper()
	var pods corev1.PodList
	if err := shared.client.List(t.Context(), &pods, client.InNamespace("metallb-system")); err != nil {
		t.Fatal(err)
	}
	return len(pods.Items)
}

func readyPods(t *testing.T) (n int) {
	t.Helper()
	var pods corev1.PodList
	if err := shared.client.List(t.Context(), &pods, client.InNamespace("metallb-system")); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods.Items {
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
			n++
		}
	}
	return n
}

// unlabelled checks that no node bears a mark of the change-over.
func unlabelled(t *testing.T) {
	t.Helper()
	var nodes corev1.NodeList
	if err := shared.client.List(t.Context(), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes.Items {
		if n.Labels[v1beta1.LabelMigrated] != "" || n.Labels[v1beta1.LabelMigrating] != "" {
			t.Errorf("%s is still labelled: %v", n.Name, n.Labels)
		}
	}
}

func (w *world) changedOver(t *testing.T) {
	t.Helper()
	unlabelled(t)
	if n := oldPods(t); n > 0 {
		t.Errorf("done, and %d Pods of MetalLB run", n)
	}
	var peers v1beta1.BGPPeerList
	if err := shared.client.List(t.Context(), &peers); err != nil {
		t.Fatal(err)
	}
	var pools v1beta1.IPAddressPoolList
	if err := shared.client.List(t.Context(), &pools); err != nil {
		t.Fatal(err)
	}
	for _, p := range pools.Items {
		if !gives(p) {
			t.Errorf("done, and pool %s gives no addresses", p.Name)
		}
	}
	for _, p := range peers.Items {
		if want := map[string]int{"tor": 2}[p.Name]; len(p.Spec.NodeSelectors) != want {
			t.Errorf("BGPPeer %s selects %v", p.Name, p.Spec.NodeSelectors)
		}
	}
}

func (w *world) back(t *testing.T) {
	t.Helper()
	unlabelled(t)
	c, s := programs(t)
	spec := s.Spec.Template.Spec
	terms := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if *c.Spec.Replicas != 2 || len(c.Annotations) > 0 || s.Annotations[v1beta1.AnnotationMigrateBefore] != "" || len(spec.NodeSelector) != 1 ||
		len(terms) != 2 || len(terms[0].MatchExpressions) != 1 || s.Spec.UpdateStrategy.RollingUpdate == nil || s.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable.IntVal != 2 {
		t.Errorf("MetalLB is not as it was: %+v, %+v, %+v", c.Spec.Replicas, s.Annotations, s.Spec)
	}
	for _, l := range []client.ObjectList{&v1beta1.IPAddressPoolList{}, &v1beta1.L2AdvertisementList{}, &v1beta1.BGPPeerList{}, &v1beta1.BGPAdvertisementList{}, &v1beta1.BFDProfileList{}} {
		if err := shared.client.List(t.Context(), l, client.Limit(1)); err != nil {
			t.Fatal(err)
		}
		if meta.LenList(l) > 0 {
			t.Errorf("back, and %T is not empty", l)
		}
	}
	var secrets corev1.SecretList
	if err := shared.client.List(t.Context(), &secrets, client.InNamespace("belfry-system")); err != nil || len(secrets.Items) > 0 {
		t.Errorf("back, and Secrets are left: %d, %v", len(secrets.Items), err)
	}
	waitFor(t, "MetalLB's Pods", func() bool { return readyPods(t) == 7 })
}
