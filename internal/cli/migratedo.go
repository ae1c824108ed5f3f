package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/migrate"
)

// carryOut does what a step says. Each can be done again where it was interrupted.
func (m *move) carryOut(ctx context.Context, step migrate.Step) error {
	s, err := m.stand(ctx)
	if err != nil {
		return err
	}
	switch step.Do {
	case migrate.CopySecrets:
		return m.copySecrets(ctx, s.Secrets)
	case migrate.StopController:
		return m.scale(ctx, s.workloads.controllers, stopped)
	case migrate.StartControl:
		return m.scale(ctx, s.workloads.controllers, started)
	case migrate.ApplyPools, migrate.OpenPools, migrate.ApplyL2, migrate.ApplyBGP, migrate.Unguard:
		return m.applyFor(ctx, s, step.Do)
	case migrate.Retire:
		return m.patchSpeakers(ctx, s, func(d *appsv1.DaemonSet, _ before) {
			set(&d.Spec.Template.Spec.NodeSelector, v1beta1.LabelMigrated, never)
		})
	case migrate.RestoreDaemon:
		return m.restoreSpeakers(ctx, s)
	case migrate.DeleteObjects:
		return m.deleteObjects(ctx)
	case migrate.Unlabel:
		for _, n := range step.Nodes {
			if err := m.label(ctx, n, map[string]any{v1beta1.LabelMigrating: nil, v1beta1.LabelMigrated: nil}); err != nil {
				return err
			}
		}
		return nil
	}
	return m.carryOutOn(ctx, s, step.Do, step.Nodes[0])
}

// applyFor applies what a step is about, as it is to be after that step.
func (m *move) applyFor(ctx context.Context, s *standing, do migrate.Do) error {
	switch do {
	case migrate.ApplyPools:
		return m.applyKinds(ctx, do, s.shut)
	case migrate.OpenPools:
		return m.applyKinds(ctx, migrate.ApplyPools, asIs)
	case migrate.Unguard:
		return m.applyKinds(ctx, migrate.ApplyBGP, asIs)
	case migrate.ApplyBGP:
		if !s.Retired {
			return m.applyKinds(ctx, do, guarded)
		}
	}
	return m.applyKinds(ctx, do, asIs)
}

// carryOutOn does what is done on one node.
func (m *move) carryOutOn(ctx context.Context, s *standing, do migrate.Do, node string) error {
	switch do {
	case migrate.LeaveNode:
		if err := m.keepAway(ctx, s, node); err != nil {
			return err
		}
		return m.label(ctx, node, map[string]any{v1beta1.LabelMigrating: "true"})
	case migrate.SelectNode:
		return m.label(ctx, node, map[string]any{v1beta1.LabelMigrated: "true"})
	case migrate.ReleaseNode:
		if err := m.guardAgain(ctx, s); err != nil {
			return err
		}
		return m.label(ctx, node, map[string]any{v1beta1.LabelMigrated: nil})
	case migrate.ReturnNode:
		if err := m.holdBack(ctx, s); err != nil {
			return err
		}
		return m.label(ctx, node, map[string]any{v1beta1.LabelMigrating: nil})
	}
	return fmt.Errorf("%s is nothing that can be done", do)
}

// guardAgain has peers that select all their nodes select those with a label, which these get before: nothing changes yet.
func (m *move) guardAgain(ctx context.Context, s *standing) error {
	if s.Guarded {
		return nil
	}
	for _, n := range s.Nodes {
		if n.Running {
			continue
		}
		if err := m.label(ctx, n.Name, map[string]any{v1beta1.LabelMigrating: "true", v1beta1.LabelMigrated: "true"}); err != nil {
			return err
		}
	}
	return m.applyKinds(ctx, migrate.ApplyBGP, guarded)
}

// holdBack has the old speakers kept away by a label on each node, instead of from all at once: then they can return one by one.
func (m *move) holdBack(ctx context.Context, s *standing) error {
	if !s.Retired {
		return nil
	}
	for _, n := range s.Nodes {
		if n.Running || n.Left {
			continue
		}
		if err := m.label(ctx, n.Name, map[string]any{v1beta1.LabelMigrating: "true"}); err != nil {
			return err
		}
	}
	return m.patchSpeakers(ctx, s, func(d *appsv1.DaemonSet, _ before) {
		delete(d.Spec.Template.Spec.NodeSelector, v1beta1.LabelMigrated)
	})
}

// keepAway has the old speakers' DaemonSets shun nodes that are labelled, and remembers what they were.
func (m *move) keepAway(ctx context.Context, s *standing, node string) error {
	running := append(s.workloads.runsOn(), node)
	return m.patchSpeakers(ctx, s, func(d *appsv1.DaemonSet, b before) {
		remember(d, b, running)
		d.Spec.Template.Spec.Affinity = shunning(d.Spec.Template.Spec.Affinity)
		// The Pods that run need no restart for this: the DaemonSet controller goes by the template as it is now.
		d.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.OnDeleteDaemonSetStrategyType}
	})
}

func (m *move) restoreSpeakers(ctx context.Context, s *standing) error {
	return m.patchSpeakers(ctx, s, func(d *appsv1.DaemonSet, b before) {
		if _, patched := beforeOf(d); !patched {
			return
		}
		d.Spec.Template.Spec.Affinity, d.Spec.Template.Spec.NodeSelector, d.Spec.UpdateStrategy = b.Affinity, b.Selector, b.Strategy
		delete(d.Annotations, v1beta1.AnnotationMigrateBefore)
	})
}

// patchSpeakers changes each DaemonSet, unless somebody else has changed it since it was read.
func (m *move) patchSpeakers(ctx context.Context, s *standing, change func(*appsv1.DaemonSet, before)) error {
	for i := range s.workloads.speakers {
		d := &s.workloads.speakers[i]
		old := d.DeepCopy()
		b, patched := beforeOf(d)
		if !patched {
			spec := old.Spec.Template.Spec
			b = before{Affinity: spec.Affinity, Selector: spec.NodeSelector, Strategy: old.Spec.UpdateStrategy}
			remember(d, b, s.workloads.runsOn())
		}
		change(d, b)
		if err := m.client.Patch(ctx, d, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("patching DaemonSet %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	return nil
}

func stopped(d *appsv1.Deployment) {
	replicas := int32(1)
	if d.Spec.Replicas != nil {
		replicas = *d.Spec.Replicas
	}
	if replicas > 0 {
		set(&d.Annotations, v1beta1.AnnotationMigrateReplicas, strconv.Itoa(int(replicas)))
	}
	d.Spec.Replicas = new(int32)
}

func started(d *appsv1.Deployment) {
	replicas := int32(1)
	if n, err := strconv.ParseInt(d.Annotations[v1beta1.AnnotationMigrateReplicas], 10, 32); err == nil {
		replicas = int32(n)
	}
	d.Spec.Replicas = &replicas
	delete(d.Annotations, v1beta1.AnnotationMigrateReplicas)
}

func (m *move) scale(ctx context.Context, list []appsv1.Deployment, change func(*appsv1.Deployment)) error {
	for i := range list {
		d := &list[i]
		old := d.DeepCopy()
		change(d)
		if err := m.client.Patch(ctx, d, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("scaling Deployment %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	return nil
}

func (m *move) label(ctx context.Context, node string, labels map[string]any) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	body, err := mergePatch(map[string]any{"labels": labels})
	if err != nil {
		return err
	}
	if err := m.client.Patch(ctx, n, body); err != nil {
		return fmt.Errorf("labelling Node %s: %w", node, err)
	}
	return nil
}

// copySecrets makes copies that the speakers can read. What is in them is not looked at.
func (m *move) copySecrets(ctx context.Context, list []migrate.Secret) error {
	for _, x := range list {
		var s corev1.Secret
		if err := m.client.Get(ctx, client.ObjectKey{Namespace: x.Namespace, Name: x.Name}, &s); err != nil {
			return fmt.Errorf("reading Secret %s/%s: %w", x.Namespace, x.Name, err)
		}
		s.ObjectMeta = metav1.ObjectMeta{
			Namespace: m.app.system, Name: x.Name,
			Annotations: map[string]string{v1beta1.AnnotationMigrateCopy: x.Namespace + "/" + x.Name},
		}
		if err := m.client.Create(ctx, &s); err != nil {
			return fmt.Errorf("copying Secret %s/%s: %w", x.Namespace, x.Name, err)
		}
	}
	return nil
}

func asIs(o *unstructured.Unstructured) *unstructured.Unstructured { return o.DeepCopy() }

// shut is a pool as it is applied first: all of them are there before one gives anything unasked.
func (s *standing) shut(o *unstructured.Unstructured) *unstructured.Unstructured {
	title := o.GetKind() + " " + o.GetName()
	if slices.Contains(s.Giving, title) || slices.Contains(s.Shut, title) {
		return migrate.Shut(o)
	}
	return o.DeepCopy()
}

func guarded(o *unstructured.Unstructured) *unstructured.Unstructured {
	if o.GetKind() == "BGPPeer" {
		return migrate.Guard(o)
	}
	return o.DeepCopy()
}

// applyKinds applies the objects that a step is about. Peers go last: what they tell is there before they dial.
func (m *move) applyKinds(ctx context.Context, do migrate.Do, as func(*unstructured.Unstructured) *unstructured.Unstructured) error {
	for _, last := range []bool{false, true} {
		for _, o := range m.other.result.Objects {
			if stepOf(o.GetKind()) != do || (o.GetKind() == "BGPPeer") != last {
				continue
			}
			err := m.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(as(o)), client.FieldOwner(migrator))
			if apierrors.IsConflict(err) {
				return fmt.Errorf("%s %s is there already, from somebody else, and differs: make it the same or delete it: %w", o.GetKind(), o.GetName(), err)
			}
			if err != nil {
				return fmt.Errorf("applying %s %s: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return nil
}

func stepOf(kind string) migrate.Do {
	switch kind {
	case "L2Advertisement":
		return migrate.ApplyL2
	case "BGPAdvertisement", "BGPPeer":
		return migrate.ApplyBGP
	}
	return migrate.ApplyPools
}

// deleteObjects deletes what a change-over has made: what others apply is theirs. What others name goes last.
func (m *move) deleteObjects(ctx context.Context) error {
	for _, o := range slices.Backward(m.other.result.Objects) {
		have := &unstructured.Unstructured{}
		have.SetGroupVersionKind(o.GroupVersionKind())
		err := m.client.Get(ctx, client.ObjectKeyFromObject(o), have)
		if err == nil && managed(have) {
			err = m.client.Delete(ctx, have)
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	for _, x := range m.other.result.Secrets {
		var s metav1.PartialObjectMetadata
		s.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
		err := m.client.Get(ctx, client.ObjectKey{Namespace: m.app.system, Name: x.Name}, &s)
		if err == nil && s.Annotations[v1beta1.AnnotationMigrateCopy] != "" {
			err = m.client.Delete(ctx, &s)
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting Secret %s/%s: %w", m.app.system, x.Name, err)
		}
	}
	return nil
}
