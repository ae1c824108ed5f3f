package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestScripts runs what stands in testdata. Besides the commands of testscript there are:
//
//	apply FILE…    creates or replaces the objects of a file, their status included; the label written-by says in whose name
//	delete FILE…   deletes them
//	golden FILE    compares what the last command printed with a file; ages and times of day are <age> and <time>
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"apply": files(apply), "delete": files(remove), "golden": golden,
		},
		Setup: func(e *testscript.Env) error {
			shared.turn <- struct{}{}
			e.Defer(func() {
				empty(t)
				<-shared.turn
			})
			e.Setenv("KUBECONFIG", shared.kubeconfig)
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("KUBEBUILDER_ASSETS", os.Getenv("KUBEBUILDER_ASSETS"))
			return nil
		},
	})
}

func files(do func(context.Context, *unstructured.Unstructured) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, names []string) {
		for _, name := range names {
			ts.Check(each(ts.ReadFile(name), func(o *unstructured.Unstructured) error { return do(context.Background(), o) }))
		}
	}
}

// each calls do for every object of a file.
func each(text string, do func(*unstructured.Unstructured) error) error {
	d := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if o.Object == nil {
			continue
		}
		if err := do(o); err != nil {
			return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
}

func apply(ctx context.Context, o *unstructured.Unstructured) error {
	status, has := o.Object["status"]
	owner := client.FieldOwner("belfry-controller")
	if name := o.GetLabels()["written-by"]; name != "" {
		owner = client.FieldOwner(name)
	}
	err := shared.client.Create(ctx, o, owner)
	if apierrors.IsAlreadyExists(err) {
		old := o.DeepCopy()
		if err := shared.client.Get(ctx, client.ObjectKeyFromObject(o), old); err != nil {
			return err
		}
		o.SetResourceVersion(old.GetResourceVersion())
		err = shared.client.Update(ctx, o, owner)
	}
	if err != nil || !has {
		return err
	}
	o.Object["status"] = status
	return shared.client.Status().Update(ctx, o, owner)
}

func remove(ctx context.Context, o *unstructured.Unstructured) error {
	return client.IgnoreNotFound(shared.client.Delete(ctx, o, client.GracePeriodSeconds(0)))
}

// empty leaves an empty cluster behind.
func empty(t *testing.T) {
	ctx := context.Background()
	for _, o := range []client.Object{
		&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}, &v1beta1.BGPAdvertisement{}, &v1beta1.BGPPeer{}, &v1beta1.SpeakerStatus{}, &corev1.Node{},
	} {
		if err := shared.client.DeleteAllOf(ctx, o); err != nil {
			t.Error(err)
		}
	}
	for _, ns := range []string{"default", "shop", "belfry-system", "kube-system", corev1.NamespaceNodeLease} {
		for _, o := range []client.Object{&v1beta1.IPReservation{}, &corev1.Pod{}, &appsv1.Deployment{}, &appsv1.DaemonSet{}, &coordinationv1.Lease{}, &corev1.ConfigMap{}, &discoveryv1.EndpointSlice{}} {
			if err := shared.client.DeleteAllOf(ctx, o, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
				t.Error(err)
			}
		}
		var services corev1.ServiceList
		if err := shared.client.List(ctx, &services, client.InNamespace(ns)); err != nil {
			t.Error(err)
		}
		for i := range services.Items {
			if s := &services.Items[i]; s.Name != "kubernetes" {
				if err := shared.client.Delete(ctx, s); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

var changing = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<time>"},
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s {3,}`), "<age>   "}, // in a column, which "10s" fills and "9s" does not
	{regexp.MustCompile(`\b(\d+h)?(\d+m)?\d+s\b`), "<age>"},
	{regexp.MustCompile(` +(\n|$)`), "$1"},
}

func golden(ts *testscript.TestScript, _ bool, args []string) {
	got := ts.ReadFile("stdout")
	for _, c := range changing {
		got = c.what.ReplaceAllString(got, c.with)
	}
	if want := ts.ReadFile(args[0]); want != got {
		if path := os.Getenv("GOLDEN"); path != "" {
			write(ts, args[0], want, got)
			return
		}
		ts.Fatalf("%s differs; it is now:\n%s", args[0], got)
	}
}

// write puts what is printed now into the script: run with GOLDEN=1 and read what has changed.
func write(ts *testscript.TestScript, name, want, got string) {
	path := "testdata/" + strings.TrimPrefix(ts.Name(), "script-") + ".txtar"
	b, err := os.ReadFile(path)
	ts.Check(err)
	head := slices.Clip([]byte("-- " + name + " --\n"))
	if bytes.Contains(b, append(head, got...)) {
		return
	}
	b = bytes.Replace(b, append(head, want...), append(head, got...), 1)
	ts.Check(os.WriteFile(path, b, 0o600))
}
