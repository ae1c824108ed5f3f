// Package integration installs the chart with the real helm into a real API server.
package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/internal/kube"
)

// patience is how long something that the API server does by itself may take.
const patience = time.Minute

// cluster is an API server with the chart installed.
type cluster struct {
	cfg        *rest.Config
	client     client.Client // an administrator's
	kubeconfig string
}

func start(t *testing.T) *cluster {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run make test-integration")
	}
	env := &envtest.Environment{}
	cfg, err := env.Start()
	if err != nil {
		t.Fatalf("starting the API server: %v", err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("stopping the API server: %v", err)
		}
	})
	admin, err := env.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := admin.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{cfg: cfg, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(c.kubeconfig, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c.client = c.as(t, rest.ImpersonationConfig{})
	return c
}

// as returns a client that acts as somebody else.
func (c *cluster) as(t *testing.T, who rest.ImpersonationConfig) client.Client {
	t.Helper()
	scheme, err := kube.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.CopyConfig(c.cfg)
	cfg.Impersonate = who
	cl, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return cl
}

// pod acts with the token of a Pod of ours, on a node; without a node, with a token that names none.
func (c *cluster) pod(t *testing.T, component, node string) client.Client {
	t.Helper()
	who := rest.ImpersonationConfig{
		UserName: fmt.Sprintf("system:serviceaccount:%s:belfry-%s", render.Namespace, component),
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + render.Namespace, "system:authenticated"},
	}
	if node != "" {
		who.Extra = map[string][]string{"authentication.kubernetes.io/node-name": {node}}
	}
	return c.as(t, who)
}

func (c *cluster) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := render.Helm(t.Context(), append(args, "--kubeconfig", c.kubeconfig, "--namespace", render.Namespace)...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// applySamples creates what config/samples holds, as soon as the API server serves the kinds.
func (c *cluster) applySamples(t *testing.T) {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pool.yaml", "l2advertisement.yaml"} {
		b, err := os.ReadFile(filepath.Join(root, "config", "samples", name))
		if err != nil {
			t.Fatal(err)
		}
		c.create(t, b)
	}
}

// create creates the objects of a YAML stream, each of which must be new and have no field that its kind has not.
func (c *cluster) create(t *testing.T, stream []byte) {
	t.Helper()
	objects, err := render.Decode(stream)
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d objects: %v", len(objects), err)
	}
	for _, o := range objects {
		eventually(t, "creating "+o.GetKind(), func(ctx context.Context) error {
			return c.client.Create(ctx, o.DeepCopy(), client.FieldValidation(metav1.FieldValidationStrict))
		})
	}
}

// eventually waits until f returns nil.
func eventually(t *testing.T, what string, f func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		last = f(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v: %v", what, err, last)
	}
}

// openshift is as much of OpenShift as the chart looks for.
const openshift = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: securitycontextconstraints.security.openshift.io
spec:
  group: security.openshift.io
  names: {kind: SecurityContextConstraints, listKind: SecurityContextConstraintsList, plural: securitycontextconstraints, singular: securitycontextconstraints}
  scope: Cluster
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
`

// TestChart is the life of a release, from the first install to the one after an uninstall.
func TestChart(t *testing.T) {
	c := start(t)
	notes := c.helm(t, "install", render.Release, "charts/belfry", "--create-namespace")

	t.Run("the notes' example is valid", func(t *testing.T) {
		_, rest, found := strings.Cut(notes, "<<EOF\n")
		example, _, ended := strings.Cut(rest, "\nEOF\n") // for a shell the document ends at no other EOF
		if !found || !ended {
			t.Fatalf("no example in the notes:\n%s", notes)
		}
		c.create(t, []byte(example))
		if !strings.Contains(notes, "kubectl label namespace belfry-system pod-security.kubernetes.io/enforce=privileged") {
			t.Error("the notes do not tell the namespace's label")
		}
		for _, o := range []client.Object{&v1beta1.IPAddressPool{}, &v1beta1.L2Advertisement{}} {
			if err := c.client.DeleteAllOf(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("the samples are valid", c.applySamples)
	t.Run("a speaker writes its own status only", func(t *testing.T) { testOwnStatus(t, c) })
	t.Run("rights end where they should", func(t *testing.T) { testRights(t, c) })
	t.Run("an upgrade changes values", func(t *testing.T) {
		c.helm(t, "upgrade", render.Release, "charts/belfry", "--set", "speaker.failover=fast")
	})
	t.Run("the notes go by the values", func(t *testing.T) { testNotes(t, c, notes) })
	t.Run("on OpenShift the notes tell of its constraints", func(t *testing.T) {
		if strings.Contains(notes, "add-scc-to-user") {
			t.Error("they do elsewhere, too")
		}
		c.create(t, []byte(openshift))
		eventually(t, "the notes", func(context.Context) error {
			notes := c.helm(t, "upgrade", render.Release, "charts/belfry")
			for _, want := range []string{"privileged -z belfry-speaker", "nonroot-v2 -z belfry-controller", "nonroot-v2 -z belfry-selftest"} {
				if !strings.Contains(notes, "oc adm policy add-scc-to-user "+want+" -n belfry-system\n") {
					return fmt.Errorf("they do not tell %q:\n%s", want, notes)
				}
			}
			return nil
		})
	})
	t.Run("pools outlive the release", func(t *testing.T) {
		c.helm(t, "uninstall", render.Release)
		var pool v1beta1.IPAddressPool
		if err := c.client.Get(t.Context(), client.ObjectKey{Name: "lan"}, &pool); err != nil {
			t.Error(err)
		}
		c.helm(t, "install", render.Release, "charts/belfry")
		if err := c.client.Get(t.Context(), client.ObjectKey{Name: "lan"}, &pool); err != nil {
			t.Error(err)
		}
	})
}

// testNotes looks at what the values change in the notes, which by default are those given.
func testNotes(t *testing.T, c *cluster, byDefault string) {
	example, quick := "kubectl apply -f - <<EOF", "makes a pool of 192.168.1.240/28 and announces it"
	label, every := "kubectl get ipaddresspools,l2advertisements -l "+v1beta1.LabelQuickstart, "Then every Service of type LoadBalancer gets one"
	some := "Then every Service of type LoadBalancer with loadBalancerClass example.com/mine gets one"
	for _, tt := range []struct {
		set      string
		has, not []string
	}{
		{"", []string{example, every}, []string{quick, label}},
		{"quickstart.addresses=192.168.1.240/28", []string{quick, label, every}, []string{example}},
		{"handleUnclassed=false,loadBalancerClass=example.com/mine", []string{example, some}, []string{quick, label, every}},
	} {
		notes := byDefault
		if tt.set != "" {
			notes = c.helm(t, "upgrade", render.Release, "charts/belfry", "--dry-run=server", "--set", tt.set)
			_, notes, _ = strings.Cut(notes, "\nNOTES:\n")
		}
		for _, want := range append(tt.has, "helm test belfry --namespace belfry-system --logs") {
			if !strings.Contains(notes, want) {
				t.Errorf("with %q they do not tell %q:\n%s", tt.set, want, notes)
			}
		}
		for _, stray := range tt.not {
			if strings.Contains(notes, stray) {
				t.Errorf("with %q they tell %q:\n%s", tt.set, stray, notes)
			}
		}
	}
}

func testOwnStatus(t *testing.T, c *cluster) {
	n1, nowhere := c.pod(t, "speaker", "n1"), c.pod(t, "speaker", "")
	// A policy takes effect some time after it is there. What it forbids is never stored in a dry run.
	eventually(t, "waiting for the policy", func(ctx context.Context) error {
		if err := n1.Create(ctx, status("n2"), client.DryRunAll); !denied(err) {
			return fmt.Errorf("n1 creating the status of n2: %w", err)
		}
		return nil
	})
	if err := nowhere.Create(t.Context(), status("n1")); !denied(err) {
		t.Errorf("a token without a node: %v", err)
	}
	if err := n1.Create(t.Context(), status("n1")); err != nil {
		t.Errorf("n1 creating its status: %v", err)
	}
	if err := c.client.Create(t.Context(), status("n2")); err != nil {
		t.Errorf("an administrator creating the status of n2: %v", err)
	}
	for node, want := range map[string]bool{"n1": true, "n2": false} {
		s := status(node)
		if err := n1.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
			t.Fatal(err)
		}
		s.Status.State = "ready"
		if err := n1.Status().Update(t.Context(), s); (err == nil) != want || err != nil && !denied(err) {
			t.Errorf("n1 updating the status of %s: %v", node, err)
		}
	}
}

// denied tells whether the policy, and not RBAC, has said no.
func denied(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "belfry-speakerstatus")
}

// testRights tries what the programs need, and what somebody who broke into one would like.
func testRights(t *testing.T, c *cluster) {
	ctx, controller, speaker := t.Context(), c.pod(t, "controller", "n1"), c.pod(t, "speaker", "n1")
	gossip := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: render.Namespace, Name: kube.GossipSecret}, Data: map[string][]byte{"a": []byte("b")},
	}
	named := client.MatchingFields{"metadata.name": kube.GossipSecret}
	own := client.InNamespace(render.Namespace)
	relabel := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`))
	tests := []struct {
		what string
		err  error
		want bool
	}{
		{"controller makes the gossip key", controller.Create(ctx, gossip), true},
		{"controller reads the gossip key", controller.Get(ctx, client.ObjectKeyFromObject(gossip), &corev1.Secret{}), false},
		{"controller changes the gossip key", controller.Update(ctx, gossip.DeepCopy()), false},
		{"controller reads Services", controller.List(ctx, &corev1.ServiceList{}), true},
		{"controller reads Nodes", controller.List(ctx, &corev1.NodeList{}), true},
		{"controller reads all Pods", controller.List(ctx, &corev1.PodList{}), false},
		{"controller deletes Services", controller.DeleteAllOf(ctx, &corev1.Service{}, client.InNamespace("default")), false},
		{"speaker reads the gossip key", speaker.List(ctx, &corev1.SecretList{}, own, named), true},
		{"speaker reads passwords of routers", speaker.List(ctx, &corev1.SecretList{}, own), true},
		{"speaker reads all Secrets", speaker.List(ctx, &corev1.SecretList{}), false},
		{"speaker reads Pods of its namespace", speaker.List(ctx, &corev1.PodList{}, own), true},
		{"speaker reads all Pods", speaker.List(ctx, &corev1.PodList{}), false},
		{"speaker reads Services", speaker.List(ctx, &corev1.ServiceList{}), true},
		{"speaker reads pools", speaker.List(ctx, &v1beta1.IPAddressPoolList{}), true},
		{"speaker deletes pools", speaker.DeleteAllOf(ctx, &v1beta1.IPAddressPool{}), false},
		{"speaker makes a Service", speaker.Create(ctx, service()), false},
		{"speaker changes more of its status object than the status", speaker.Patch(ctx, status("n1"), relabel), false},
		{"speaker deletes a status", speaker.Delete(ctx, status("n1")), false},
	}
	for _, tt := range tests {
		if (tt.err == nil) != tt.want || tt.err != nil && !apierrors.IsForbidden(tt.err) {
			t.Errorf("%s: %v", tt.what, tt.err)
		}
	}
}

func status(node string) *v1beta1.SpeakerStatus {
	return &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: node}}
}

func service() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

// TestManifestsHaveNoUnknownFields lets the API server judge each object of the chart strictly; helm itself does not ask.
func TestManifestsHaveNoUnknownFields(t *testing.T) {
	c := start(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: render.Namespace}}
	if err := c.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	objects, err := render.Chart(t.Context(), "imagePullSecrets[0].name=pull", "speaker.podLabels.a=b", "controller.podAnnotations.a=b",
		"quickstart.addresses=192.0.2.1", "networkPolicy.enabled=true", "metrics.secure=true", "metrics.dashboard.enabled=true")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if err := c.client.Create(t.Context(), o.DeepCopy(), client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}
