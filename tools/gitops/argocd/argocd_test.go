//go:build soak

package argocd

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/hook"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"
)

// patience is how long a sync may take.
const patience = 2 * time.Minute

// root is the repository's, from here.
const root = "../../.."

// samples are files of config/samples, in the place of the user's.
var samples = [...]string{"pool.yaml", "l2advertisement.yaml", "bgp.yaml"}

func TestMain(m *testing.M) {
	ctrl.SetLogger(klog.Background())
	os.Exit(m.Run())
}

// application is what the test reads of an Application. The engine knows the kind no more than it does.
type application struct {
	Metadata struct{ Name string }
	Spec     struct {
		Destination struct{ Namespace string }
		Source      *source
		Sources     []source
		SyncPolicy  struct {
			ManagedNamespaceMetadata struct{ Labels map[string]string }
			SyncOptions              []string
			Retry                    *struct{ Limit int }
		}
	}
}

type source struct {
	Path string
	Helm *struct{ ValuesObject map[string]any }
}

// read returns an Application of docs/install.md.
func read(t *testing.T, mark string) (a application) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs", "install.md"))
	must(t, err)
	_, block, found := strings.Cut(string(b), "\n```yaml "+mark+"\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	if !found || !closed {
		t.Fatalf("docs/install.md has no block %q", mark)
	}
	must(t, yaml.Unmarshal([]byte(block), &a))
	if a.Spec.Source != nil {
		a.Spec.Sources = append(a.Spec.Sources, *a.Spec.Source)
	}
	return a
}

// objects renders the sources, the last first: the engine has to order them.
func (a application) objects(t *testing.T) (out []*unstructured.Unstructured) {
	t.Helper()
	for _, s := range slices.Backward(a.Spec.Sources) {
		switch s.Path {
		case "charts/belfry":
			out = append(out, chart(t, a.Metadata.Name, a.Spec.Destination.Namespace, s.Helm.ValuesObject)...)
		case "addresses":
			out = append(out, own(t)...)
		default:
			t.Fatalf("a source is at %s", s.Path)
		}
	}
	return out
}

// chart renders the chart as Argo CD does, hooks included.
func chart(t *testing.T, release, namespace string, values map[string]any) []*unstructured.Unstructured {
	t.Helper()
	b, err := yaml.Marshal(values)
	must(t, err)
	file := filepath.Join(t.TempDir(), "values.yaml")
	must(t, os.WriteFile(file, b, 0o600))
	program := os.Getenv("BELFRY_HELM")
	if program == "" {
		t.Fatal("BELFRY_HELM is not set: run make soak")
	}
	out, err := exec.CommandContext(t.Context(), program, "template", release, filepath.Join(root, "charts", "belfry"), "--namespace", namespace,
		"--kube-version", "1.31.0", "--include-crds", "--values", file).Output()
	must(t, err)
	return decode(t, out)
}

func decode(t *testing.T, stream []byte) []*unstructured.Unstructured {
	t.Helper()
	objects, err := kube.SplitYAML(stream)
	must(t, err)
	return objects
}

func own(t *testing.T) (objects []*unstructured.Unstructured) {
	t.Helper()
	for _, name := range samples {
		b, err := os.ReadFile(filepath.Join(root, "config", "samples", name))
		must(t, err)
		objects = append(objects, decode(t, b)...)
	}
	return objects
}

// cluster is an API server with nothing in it, and what Argo CD knows of it.
type cluster struct {
	cfg    *rest.Config
	client client.Client
	cache  cache.ClusterCache
}

// owner is the annotation by which an Application knows its objects.
const owner = "argocd.argoproj.io/tracking-id"

func start(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make soak")
	}
	t.Setenv("KUBECACHEDIR", t.TempDir()) // nobody has synced to this cluster before
	env := &envtest.Environment{}
	cfg, err := env.Start()
	must(t, err)
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	cfg.QPS = -1
	c, err := client.New(cfg, client.Options{Scheme: scheme.Scheme})
	must(t, err)
	state := cache.NewClusterCache(cfg, cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(o *unstructured.Unstructured, _ bool) (any, bool) {
			name := o.GetAnnotations()[owner]
			return name, name != ""
		}))
	return &cluster{cfg, c, state}
}

// sync is one sync of an Application; it fails if any of its objects does. Argo CD's application controller goes through it in
// the same steps.
func (c *cluster) sync(t *testing.T, a application, objects []*unstructured.Unstructured) error {
	t.Helper()
	for _, o := range objects {
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[owner] = a.Metadata.Name
		o.SetAnnotations(annotations)
	}
	must(t, c.cache.EnsureSynced())
	defer c.cache.Invalidate()
	var phase common.OperationPhase
	var results []common.ResourceSyncResult
	for began := metav1.Now(); !phase.Completed(); { // each step starts from what the last has left in the Application's status
		if time.Since(began.Time) > patience {
			t.Fatalf("the sync is %s: %v", phase, results)
		}
		phase, results = c.step(t, a, objects, sync.WithInitialState(phase, "", results, began))
	}
	var err error
	if phase != common.OperationSucceeded {
		err = fmt.Errorf("the sync has %s", phase)
	}
	for _, r := range results {
		if r.Status != common.ResultCodeSynced {
			err = errors.Join(err, fmt.Errorf("%s: %s %s", r.ResourceKey.String(), r.Status, r.Message))
		}
	}
	return err
}

// step looks at the cluster and goes on with a sync.
func (c *cluster) step(t *testing.T, a application, objects []*unstructured.Unstructured, from sync.SyncOpt) (common.OperationPhase, []common.ResourceSyncResult) {
	t.Helper()
	namespace := a.Spec.Destination.Namespace
	live, err := c.cache.GetManagedLiveObjs(objects, func(r *cache.Resource) bool { return r.Info == a.Metadata.Name })
	must(t, err)
	compared := sync.Reconcile(objects, live, namespace, c.cache)
	ctl := &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	s, cleanup, err := sync.NewSyncContext("1", compared, c.cfg, c.cfg, ctl, namespace, append(a.options(t), from)...)
	must(t, err)
	defer cleanup()
	s.Sync()
	phase, _, results := s.GetState()
	return phase, results
}

// options are those that Argo CD makes of an Application's syncOptions.
func (a application) options(t *testing.T) []sync.SyncOpt {
	t.Helper()
	options := []sync.SyncOpt{sync.WithLogr(logr.Discard()), sync.WithPrune(true)}
	for _, o := range a.Spec.SyncPolicy.SyncOptions {
		switch o {
		case "ServerSideApply=true":
			options = append(options, sync.WithServerSideApply(true), sync.WithServerSideApplyManager("argocd-controller"))
		case "SkipDryRunOnMissingResource=true":
			options = append(options, sync.WithSkipDryRunOnMissingResource(true))
		case "CreateNamespace=true":
			options = append(options, sync.WithNamespaceModifier(func(managed, live *unstructured.Unstructured) (bool, error) {
				managed.SetLabels(a.Spec.SyncPolicy.ManagedNamespaceMetadata.Labels)
				return live == nil, nil
			}))
		default:
			t.Fatalf("the test does not know %s", o)
		}
	}
	return options
}

// synced: every object that is no hook is there, and is what Argo CD calls Synced; helm's test is not run.
func synced(t *testing.T, c *cluster, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, o := range objects {
		live := o.DeepCopy()
		err := c.client.Get(t.Context(), client.ObjectKeyFromObject(o), live)
		if hook.IsHook(o) {
			if client.IgnoreNotFound(err) != nil || err == nil {
				t.Errorf("%s %s, a hook: %v", o.GetKind(), o.GetName(), err)
			}
			continue
		}
		must(t, err)
		result, err := diff.Diff(o, live)
		must(t, err)
		if result.Modified {
			t.Errorf("%s %s is out of sync: wanted %s, is %s", o.GetKind(), o.GetName(), result.PredictedLive, result.NormalizedLive)
		}
		versions[o.GetKind()+" "+o.GetName()] = live.GetResourceVersion()
	}
	return versions
}

// unchanged: further syncs write nothing. What the API server makes of a new CRD, and of who manages which field of the first
// objects of its kind, it writes by and by, so the first of them may.
func unchanged(t *testing.T, c *cluster, a application, objects []*unstructured.Unstructured) {
	t.Helper()
	var before, after map[string]string
	for range 3 {
		before = synced(t, c, objects)
		must(t, c.sync(t, a, objects))
		after = synced(t, c, objects)
		if maps.Equal(before, after) {
			return
		}
	}
	t.Errorf("it changes with every sync: %v, then %v", before, after)
}

// TestSoakOneApplication: the chart and own objects are sources of one Application, and one sync onto an empty cluster.
func TestSoakOneApplication(t *testing.T) {
	a := read(t, "argocd")
	if len(a.Spec.Sources) != 2 {
		t.Fatalf("it has %d sources", len(a.Spec.Sources))
	}
	c := start(t)
	must(t, c.sync(t, a, a.objects(t)))
	var namespace corev1.Namespace
	must(t, c.client.Get(t.Context(), client.ObjectKey{Name: a.Spec.Destination.Namespace}, &namespace))
	if namespace.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("the namespace has the labels %v", namespace.Labels)
	}
	unchanged(t, c, a, a.objects(t))
}

// TestSoakTwoApplications: own objects are an Application of their own. Its syncs fail until the chart's has made the CRDs, and
// what it has besides is applied all the same; that is why the page tells it to try again.
func TestSoakTwoApplications(t *testing.T) {
	first, second := read(t, "argocd"), read(t, "argocd-addresses")
	first.Spec.Sources = slices.DeleteFunc(first.Spec.Sources, func(s source) bool { return s.Helm == nil })
	if first.Spec.Destination != second.Spec.Destination || second.Spec.SyncPolicy.Retry == nil || second.Spec.SyncPolicy.Retry.Limit >= 0 {
		t.Errorf("they are %+v and %+v", first, second)
	}
	c := start(t)
	besides := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "besides", "namespace": "default"}}}
	err := c.sync(t, second, append(second.objects(t), besides))
	for _, kind := range []string{"IPAddressPool", "L2Advertisement", "BGPPeer", "BGPAdvertisement"} {
		if err == nil || !strings.Contains(err.Error(), kind) {
			t.Errorf("%s without a CRD: %v", kind, err)
		}
	}
	must(t, c.client.Get(t.Context(), client.ObjectKeyFromObject(besides), besides.DeepCopy()))
	must(t, c.sync(t, first, first.objects(t)))
	must(t, c.sync(t, second, append(second.objects(t), besides)))
	unchanged(t, c, first, first.objects(t))
	unchanged(t, c, second, append(second.objects(t), besides))
}

// TestSoakDryRunOfMissing: what is not in the same sync is looked for before anything is applied, unless the option says
// otherwise.
func TestSoakDryRunOfMissing(t *testing.T) {
	a := read(t, "argocd-addresses")
	a.Spec.SyncPolicy.SyncOptions = []string{"ServerSideApply=true"}
	c := start(t)
	besides := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "besides", "namespace": "default"}}}
	if err := c.sync(t, a, append(a.objects(t), besides)); err == nil {
		t.Error("applied without CRDs")
	}
	if err := c.client.Get(t.Context(), client.ObjectKeyFromObject(besides), besides); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("what the Application has besides is there: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
