package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// QuickstartName is the name of the pool and of the advertisement that the controller itself keeps.
const QuickstartName = "quickstart"

const (
	// eventQuickstart: it stands where the controller's own pool or advertisement is to be, and is left alone.
	eventQuickstart = "QuickstartNotApplied"
)

// quickstartRetry and quickstartRetryMax are the first and the longest pause between two attempts.
const (
	quickstartRetry    = 200 * time.Millisecond
	quickstartRetryMax = 30 * time.Second
)

// quickstart keeps a pool of the given addresses and an advertisement of it on the local network: a chart cannot bring
// objects of kinds that it brings itself. It writes no other field than the addresses, deletes nothing, and leaves
// objects alone that do not carry its label.
type quickstart struct {
	log       logr.Logger
	fence     *fence
	cache     ctrlcache.Cache
	client    client.Client // under the fence
	metrics   *metrics
	addresses []v1beta1.AddressRange

	refused map[types.UID]bool // objects in whose place ours would be; logged once
}

// parseQuickstart reads the flag's addresses: CIDRs, ranges and single addresses.
func parseQuickstart(list []string) ([]v1beta1.AddressRange, error) {
	var out []v1beta1.AddressRange
	for _, s := range list {
		r, err := spec.ParseRange(s)
		if err != nil {
			return nil, fmt.Errorf("--quickstart-addresses: %w", err)
		}
		out = append(out, v1beta1.AddressRange(r.String()))
	}
	return out, nil
}

// NeedLeaderElection keeps it to the leader.
func (q *quickstart) NeedLeaderElection() bool { return true }

// Start keeps the two objects as they are to be until ctx ends. It never fails: addresses are assigned without them, too.
func (q *quickstart) Start(ctx context.Context) error {
	if err := q.fence.settle(ctx); err != nil {
		return nil //nolint:nilerr // told to stop before it began
	}
	wake, err := q.listen(ctx)
	if err != nil {
		return err
	}
	pause := quickstartRetry
	for {
		var retry <-chan time.Time
		if err := q.apply(context.WithoutCancel(ctx)); err != nil {
			q.log.Error(err, "quickstart objects not written")
			retry = time.After(wait.Jitter(pause, 0.5))
			pause = min(2*pause, quickstartRetryMax)
		} else {
			pause = quickstartRetry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-retry:
		case <-wake:
		}
	}
}

// listen returns a channel that is filled whenever one of the two objects changes.
func (q *quickstart) listen(ctx context.Context) (<-chan struct{}, error) {
	wake := make(chan struct{}, 1)
	poke := func(o any) {
		if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
			o = gone.Obj
		}
		if c, ok := o.(client.Object); !ok || c.GetName() != QuickstartName {
			return
		}
		select {
		case wake <- struct{}{}:
		default:
		}
	}
	for _, kind := range []client.Object{&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}} {
		informer, err := q.cache.GetInformer(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
		handler := cache.ResourceEventHandlerFuncs{AddFunc: poke, UpdateFunc: func(_, o any) { poke(o) }, DeleteFunc: poke}
		if _, err := informer.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("watching %T: %w", kind, err)
		}
	}
	return wake, nil
}

// apply makes or corrects both objects. Where the pool is somebody else's there is nothing to announce.
func (q *quickstart) apply(ctx context.Context) error {
	var pool v1beta1.IPAddressPool
	ours, err := q.ensure(ctx, "IPAddressPool", &pool, func() bool { return slices.Equal(pool.Spec.Addresses, q.addresses) }, &v1beta1.IPAddressPool{
		Spec: v1beta1.IPAddressPoolSpec{Addresses: q.addresses},
	}, map[string]any{"addresses": q.addresses})
	if err != nil || !ours {
		return err
	}
	var l2 v1beta1.L2Advertisement
	pools := []string{QuickstartName}
	_, err = q.ensure(ctx, "L2Advertisement", &l2, func() bool { return slices.Equal(l2.Spec.IPAddressPools, pools) }, &v1beta1.L2Advertisement{
		Spec: v1beta1.L2AdvertisementSpec{IPAddressPools: pools},
	}, map[string]any{"ipAddressPools": pools})
	return err
}

// ensure reads an object into have, creates want where there is none and patches the spec where it is not right. It tells
// whether the object is the controller's own.
func (q *quickstart) ensure(ctx context.Context, kind string, have client.Object, right func() bool, want client.Object, fields map[string]any) (ours bool, err error) {
	switch err := q.cache.Get(ctx, client.ObjectKey{Name: QuickstartName}, have); {
	case apierrors.IsNotFound(err):
		return true, q.create(ctx, kind, want)
	case err != nil:
		return false, fmt.Errorf("reading %s %s: %w", kind, QuickstartName, err)
	case inPlaceOfOurs(have):
		q.refuse(kind, have)
		return false, nil
	case right():
		return true, nil
	}
	return true, q.correct(ctx, kind, have, fields)
}

func (q *quickstart) create(ctx context.Context, kind string, o client.Object) error {
	o.SetName(QuickstartName)
	o.SetLabels(map[string]string{v1beta1.LabelQuickstart: "true"})
	err := q.client.Create(ctx, o)
	q.metrics.write(kind, err)
	if apierrors.IsAlreadyExists(err) {
		return nil // the cache will show it
	}
	if err != nil {
		return fmt.Errorf("creating %s %s: %w", kind, QuickstartName, err)
	}
	q.log.Info("quickstart object made", "reason", kind)
	return nil
}

// correct replaces single fields of the spec, bound to the version that was looked at.
func (q *quickstart) correct(ctx context.Context, kind string, have client.Object, fields map[string]any) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": have.GetUID(), "resourceVersion": have.GetResourceVersion()},
		"spec":     fields,
	})
	if err != nil {
		return fmt.Errorf("writing a patch: %w", err)
	}
	err = q.client.Patch(ctx, have, client.RawPatch(types.MergePatchType, body))
	q.metrics.write(kind, err)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // the cache will show what has become of it
	}
	if err != nil {
		return fmt.Errorf("correcting %s %s: %w", kind, QuickstartName, err)
	}
	q.log.Info("quickstart object corrected", "reason", kind)
	return nil
}

// refuse logs, once for each object, that it is left alone. The reporter tells users.
func (q *quickstart) refuse(kind string, o client.Object) {
	if q.refused[o.GetUID()] {
		return
	}
	q.refused[o.GetUID()] = true
	q.log.Error(nil, "quickstart not applied: an object of that name was made by somebody else", "reason", kind)
}

// inPlaceOfOurs tells whether an object stands where the controller's own is to be.
func inPlaceOfOurs(o client.Object) bool {
	return o.GetName() == QuickstartName && o.GetLabels()[v1beta1.LabelQuickstart] != "true"
}

// markForeign makes conditions say whether the object is left alone though the controller is to keep one of its name. It
// returns whether they differ now, and what is worth an event: what was said before is not, whoever has said it.
func markForeign(o client.Object, kind string, keeps bool, conditions *[]metav1.Condition) (news []notice, differs bool) {
	if !keeps || !inPlaceOfOurs(o) {
		return nil, meta.RemoveStatusCondition(conditions, v1beta1.ConditionQuickstart)
	}
	message := fmt.Sprintf("the controller was told to keep a %s of this name (quickstart.addresses), but this one lacks its label %s=true: it is left as it is. Rename it, or label it to have it overwritten",
		kind, v1beta1.LabelQuickstart)
	if meta.FindStatusCondition(*conditions, v1beta1.ConditionQuickstart) == nil {
		news = []notice{{warning: true, reason: eventQuickstart, message: message}}
	}
	return news, meta.SetStatusCondition(conditions, metav1.Condition{Type: v1beta1.ConditionQuickstart, Status: metav1.ConditionTrue,
		Reason: eventQuickstart, Message: message, ObservedGeneration: o.GetGeneration()})
}
