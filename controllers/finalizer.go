package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
)

// finalize says what is to become of the finalizer on a Service.
type finalize uint8

const (
	leaveFinalizer finalize = iota
	addFinalizer
	dropFinalizer
)

// finalizer decides. A Service that gets an address is kept from vanishing; one that is being deleted goes when all
// speakers are silent about it. Where the option is off nobody waits for anything: it may have been on before.
func (a *allocator) finalizer(ctx context.Context, s *corev1.Service, holds bool) finalize {
	has := slices.Contains(s.Finalizers, v1beta1.ServiceFinalizer)
	delete(a.leaving, keyOf(s))
	switch {
	case s.DeletionTimestamp == nil && a.speakers.used && holds && !has:
		return addFinalizer
	case s.DeletionTimestamp == nil || !has || s.Annotations[v1beta1.AnnotationAllocatedFrom] == "":
		return leaveFinalizer
	case !a.speakers.used:
		return dropFinalizer
	}
	silent, err := a.speakers.silent(ctx, s.UID)
	if err != nil {
		a.log.Error(err, "Speakers not read", "service", keyOf(s).String())
	}
	if silent {
		return dropFinalizer
	}
	a.leaving[keyOf(s)] = struct{}{}
	return leaveFinalizer
}

// finalizersOf returns the list to write, if it differs.
func finalizersOf(o *corev1.Service, do finalize) ([]string, bool) {
	is := func(f string) bool { return f == v1beta1.ServiceFinalizer }
	has := slices.ContainsFunc(o.Finalizers, is)
	switch {
	case do == addFinalizer && !has:
		return append(slices.Clone(o.Finalizers), v1beta1.ServiceFinalizer), true
	case do == dropFinalizer && has:
		return slices.DeleteFunc(slices.Clone(o.Finalizers), is), true
	}
	return nil, false
}

// speakers knows who must be silent before a Service may go.
type speakers struct {
	used      bool // --service-finalizer
	namespace string
	cache     client.Reader
}

// watched is what the cache must hold for it.
func (s speakers) watched() []client.Object {
	if !s.used {
		return nil
	}
	return []client.Object{&v1beta1.SpeakerStatus{}, &corev1.Pod{}}
}

// silent tells whether every speaker that could have announced the Service says that it does not. A speaker does not count
// whose Node or Pod is gone, or that the others miss.
func (s speakers) silent(ctx context.Context, uid types.UID) (bool, error) {
	var list v1beta1.SpeakerStatusList
	var pods corev1.PodList
	var nodes corev1.NodeList
	for l, o := range map[client.ObjectList][]client.ListOption{
		&list:  nil,
		&nodes: nil,
		&pods:  {client.InNamespace(s.namespace), client.MatchingLabels(kube.SpeakerPodLabels())},
	} {
		if err := s.cache.List(ctx, l, append(o, client.UnsafeDisableDeepCopy)...); err != nil {
			return false, fmt.Errorf("listing %T: %w", l, err)
		}
	}
	runs, exists, missing := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i := range pods.Items {
		runs[pods.Items[i].Spec.NodeName] = true
	}
	for i := range nodes.Items {
		exists[nodes.Items[i].Name] = true
	}
	for i := range list.Items {
		for _, n := range list.Items[i].Status.Members.Missing {
			missing[n] = true
		}
	}
	for i := range list.Items {
		o := &list.Items[i]
		if runs[o.Name] && exists[o.Name] && !missing[o.Name] && !slices.Contains(o.Status.Withdrawn, string(uid)) {
			return false, nil
		}
	}
	return true, nil
}
