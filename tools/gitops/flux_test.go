package gitops

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
)

// flux applies as the kustomize-controller does, in the name of a Kustomization.
func (c *cluster) flux() *ssa.ResourceManager {
	poller := polling.NewStatusPoller(c.client, c.client.RESTMapper(), polling.Options{})
	return ssa.NewResourceManager(c.client, poller, ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})
}

// sync applies all of a Kustomization. Where the API server has established a CRD and does not serve it yet, Flux tries again
// later.
func sync(t *testing.T, m *ssa.ResourceManager, objects []*unstructured.Unstructured) *ssa.ChangeSet {
	t.Helper()
	var changes *ssa.ChangeSet
	eventually(t, "a sync", func(ctx context.Context) (err error) {
		changes, err = m.ApplyAllStaged(ctx, copies(objects), ssa.DefaultApplyOptions())
		if err != nil && !missing(err) {
			t.Fatal(err)
		}
		return err
	})
	return changes
}

// absent: a sync that fails has applied nothing.
func absent(t *testing.T, c *cluster, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if err := c.get(t.Context(), o.DeepCopy()); err == nil {
			t.Errorf("%s is there", ssautils.FmtUnstructured(o))
		}
	}
}

func missing(err error) bool {
	return err != nil && (meta.IsNoMatchError(err) || strings.Contains(err.Error(), "no matches for kind") ||
		strings.Contains(err.Error(), "could not find the requested resource"))
}

func (c *cluster) get(ctx context.Context, o *unstructured.Unstructured) error {
	return c.client.Get(ctx, client.ObjectKeyFromObject(o), o)
}

// settled: every object is there, and another sync finds nothing to do.
func settled(t *testing.T, c *cluster, m *ssa.ResourceManager, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		must(t, c.get(t.Context(), o.DeepCopy()))
	}
	// The API server writes what it makes of a new CRD by and by.
	eventually(t, "a sync that changes nothing", func(ctx context.Context) error {
		changes, err := m.ApplyAllStaged(ctx, copies(objects), ssa.DefaultApplyOptions())
		if err != nil {
			return err
		}
		if len(changes.Entries) != len(objects) {
			t.Fatalf("%d of %d objects were applied", len(changes.Entries), len(objects))
		}
		for _, e := range changes.Entries {
			if e.Action != ssa.UnchangedAction {
				err = fmt.Errorf("%s", e)
			}
		}
		return err
	})
}

// healthy: spec.wait, which goes by the status of every object, ends, and not before the controller has looked.
func healthy(t *testing.T, c *cluster, m *ssa.ResourceManager, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range slices.DeleteFunc(copies(objects), func(o *unstructured.Unstructured) bool { return !ours(o) }) {
		must(t, c.get(t.Context(), o))
		if s, err := status.Compute(o); err != nil || s.Status != status.InProgressStatus {
			t.Errorf("%s is %v, %v, and nobody has looked at it", ssautils.FmtUnstructured(o), s, err)
		}
	}
	c.controller(t)
	c.pods(t)
	must(t, m.Wait(objects, ssa.WaitOptions{Interval: interval, Timeout: patience, FailFast: true}))
}

// ours tells whether the object is of a kind that the chart's CRDs make.
func ours(o *unstructured.Unstructured) bool {
	return strings.HasPrefix(o.GetAPIVersion(), "belfry.dev/")
}

// pods says of the workloads what they say of themselves where there are nodes to run them.
func (c *cluster) pods(t *testing.T) {
	t.Helper()
	var deployments appsv1.DeploymentList
	must(t, c.client.List(t.Context(), &deployments))
	for _, d := range deployments.Items {
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
		d.Status.Conditions = []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: "True", Reason: "NewReplicaSetAvailable"},
			{Type: appsv1.DeploymentAvailable, Status: "True"},
		}
		must(t, c.client.Status().Update(t.Context(), &d))
	}
	var daemons appsv1.DaemonSetList
	must(t, c.client.List(t.Context(), &daemons))
	for _, d := range daemons.Items {
		d.Status.ObservedGeneration = d.Generation
		must(t, c.client.Status().Update(t.Context(), &d))
	}
}

func copies(objects []*unstructured.Unstructured) (out []*unstructured.Unstructured) {
	for _, o := range objects {
		out = append(out, o.DeepCopy())
	}
	return out
}

// TestFluxOneKustomization: config/default and own objects are one Kustomization, and one sync onto an empty cluster.
func TestFluxOneKustomization(t *testing.T) {
	objects := together(t)
	c := start(t)
	m := c.flux()
	// All at once, without the order that Flux brings in, is refused.
	if _, err := m.ApplyAll(t.Context(), copies(objects), ssa.DefaultApplyOptions()); err == nil {
		t.Error("the order makes no difference")
	}
	absent(t, c, objects)
	for _, e := range sync(t, m, objects).Entries {
		if e.Action != ssa.CreatedAction {
			t.Errorf("on an empty cluster: %s", e)
		}
	}
	settled(t, c, m, objects)
	healthy(t, c, m, objects)
	settled(t, c, m, objects)
}

// TestFluxTwoKustomizations: one has the HelmRelease, own objects are in another that depends on it.
func TestFluxTwoKustomizations(t *testing.T) {
	p := readPage(t)
	objects := own(t)
	c := start(t)
	m := c.flux()
	// Without dependsOn they come too early.
	if _, err := m.ApplyAllStaged(t.Context(), copies(objects), ssa.DefaultApplyOptions()); !missing(err) {
		t.Errorf("applied without CRDs: %v", err)
	}
	absent(t, c, objects)
	sync(t, m, []*unstructured.Unstructured{p.namespace})
	_, err := render.Helm(t.Context(), "install", p.release.Name, p.release.Spec.Chart.Spec.Chart, "--namespace", p.release.Namespace,
		"--values", p.values(t), "--kubeconfig", c.kubeconfig)
	must(t, err)
	sync(t, m, objects)
	settled(t, c, m, objects)
	healthy(t, c, m, objects)
	settled(t, c, m, objects)
}
