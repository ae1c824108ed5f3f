package charts_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/controllers"
	"github.com/belfry-lb/belfry/speaker"
)

func chart(t *testing.T, set ...string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := render.Chart(t.Context(), set...)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// get returns the object of that kind and name, decoded strictly: a misspelt field is an error.
func get[T any](t *testing.T, objects []*unstructured.Unstructured, kind, name string) T {
	t.Helper()
	var out T
	for _, o := range objects {
		if o.GetKind() != kind || o.GetName() != name {
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &out, true); err != nil {
			t.Fatalf("%s %s: %v", kind, name, err)
		}
		return out
	}
	t.Fatalf("the chart has no %s %s", kind, name)
	return out
}

func TestLint(t *testing.T) {
	for _, set := range []string{"controller.replicas=2", "crds.enabled=false", "controller.replicas=1", "imagePullSecrets[0].name=pull"} {
		if _, err := render.Helm(t.Context(), "lint", "--strict", "--kube-version", render.KubernetesVersion, "--set", set, "charts/belfry"); err != nil {
			t.Errorf("%s: %v", set, err)
		}
	}
}

func TestOldKubernetesIsRefused(t *testing.T) {
	_, err := render.Helm(t.Context(), "template", "charts/belfry", "--kube-version", "1.30.9")
	if err == nil || !strings.Contains(err.Error(), "chart requires kubeVersion") {
		t.Errorf("Kubernetes 1.30: %v", err)
	}
}

func TestControllerIsRestricted(t *testing.T) {
	d := get[appsv1.Deployment](t, chart(t), "Deployment", "belfry-controller")
	pod, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if *d.Spec.Replicas != 2 || pod.PriorityClassName != "system-cluster-critical" || len(pod.TopologySpreadConstraints) != 1 {
		t.Errorf("replicas %d, priority %q, spread %v", *d.Spec.Replicas, pod.PriorityClassName, pod.TopologySpreadConstraints)
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) != 0 {
		t.Error("the controller uses something of the host")
	}
	// The profile "restricted" of the Pod Security Standards, and a read-only root on top.
	user, yes, no := int64(65532), true, false
	want := corev1.PodSecurityContext{
		RunAsNonRoot: &yes, RunAsUser: &user, RunAsGroup: &user,
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if diff := cmp.Diff(&want, pod.SecurityContext); diff != "" {
		t.Errorf("pod (-want +got):\n%s", diff)
	}
	wantContainer := corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	if diff := cmp.Diff(&wantContainer, c.SecurityContext); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
}

func TestSpeakerHasOneCapability(t *testing.T) {
	d := get[appsv1.DaemonSet](t, chart(t), "DaemonSet", "belfry-speaker")
	pod, c := d.Spec.Template.Spec, d.Spec.Template.Spec.Containers[0]
	if !pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) != 1 {
		t.Error("the speaker must have the host's network, and nothing else of it")
	}
	if v := pod.Volumes[0].EmptyDir; v == nil || v.Medium != corev1.StorageMediumMemory {
		t.Errorf("the snapshot holds secrets and is kept in %+v", pod.Volumes[0])
	}
	if pod.PriorityClassName != "system-node-critical" {
		t.Errorf("priority %q", pod.PriorityClassName)
	}
	if diff := cmp.Diff([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, pod.Tolerations); diff != "" {
		t.Errorf("tolerations (-want +got):\n%s", diff)
	}
	if u := d.Spec.UpdateStrategy.RollingUpdate; u.MaxUnavailable.IntValue() != 1 || u.MaxSurge.IntValue() != 0 {
		t.Errorf("rolling update %+v", u)
	}
	if s := pod.SecurityContext.SeccompProfile; s == nil || s.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("seccomp %v", s)
	}
	root, yes, no := int64(0), true, false
	want := corev1.SecurityContext{
		RunAsUser: &root, RunAsGroup: &root, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_RAW"}},
	}
	if diff := cmp.Diff(&want, c.SecurityContext); diff != "" {
		t.Errorf("container (-want +got):\n%s", diff)
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
		if p.HTTPGet.Host != "127.0.0.1" || p.HTTPGet.Port.IntValue() != 7981 {
			t.Errorf("probe %+v", p.HTTPGet)
		}
	}
	for k, v := range speaker.PodLabels() {
		if got := d.Spec.Template.Labels[k]; got != v {
			t.Errorf("label %s is %q; speakers look for %q", k, got, v)
		}
	}
}

// TestPermissions is the list of all that the programs may do. Whoever adds a line says in docs why it is needed.
func TestPermissions(t *testing.T) {
	objects := chart(t)
	var got []string
	for _, o := range objects {
		if o.GetKind() != "ClusterRole" && o.GetKind() != "Role" || o.GetAnnotations()["helm.sh/hook"] != "" {
			continue // what `helm test` may do for a moment is listed apart
		}
		role := get[rbacv1.Role](t, objects, o.GetKind(), o.GetName()) // a ClusterRole's rules are the same
		for _, r := range role.Rules {
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s: %s %s %s", o.GetKind(), strings.TrimPrefix(o.GetName(), "belfry-"),
				strings.Join(r.Verbs, ","), strings.Join(r.Resources, ","), strings.Join(r.ResourceNames, ","))))
		}
	}
	want := []string{
		"ClusterRole controller: get,list,watch services",
		"ClusterRole controller: patch services/status",
		"ClusterRole controller: get,list,watch namespaces",
		"ClusterRole controller: get,list,watch nodes",
		"ClusterRole controller: get,list,watch speakerstatuses",
		"ClusterRole controller: get,list,watch endpointslices",
		"ClusterRole controller: get,list,watch servicecidrs",
		"ClusterRole controller: create events",
		"ClusterRole controller: get,list,watch ipaddresspools,ipreservations,l2advertisements,bgppeers,bgpadvertisements,communities,bfdprofiles",
		"ClusterRole controller: patch ipaddresspools/status,ipreservations/status,l2advertisements/status,bgppeers/status,bgpadvertisements/status,communities/status,bfdprofiles/status",
		"ClusterRole speaker: get,list,watch services,nodes",
		"ClusterRole speaker: get,list,watch endpointslices",
		"ClusterRole speaker: get,list,watch ipaddresspools,l2advertisements,bgppeers,bgpadvertisements,communities,bfdprofiles",
		"ClusterRole speaker: get,list,watch,create speakerstatuses",
		"ClusterRole speaker: update speakerstatuses/status",
		"ClusterRole viewer: get,list,watch *",
		"ClusterRole viewer: get,list,watch services,nodes,namespaces,pods,events",
		"ClusterRole viewer: get,list,watch endpointslices",
		"ClusterRole viewer: get,list,watch servicecidrs",
		"ClusterRole viewer: get,list,watch deployments,daemonsets",
		"ClusterRole viewer: get,list leases",
		"ClusterRole viewer: get configmaps kube-proxy",
		"ClusterRole viewer: get,list customresourcedefinitions",
		"Role controller: create leases",
		"Role controller: get,update leases " + controllers.LeaseName,
		"Role controller: create secrets",
		"Role controller: get,list,watch pods",
		"Role speaker: get,list,watch pods",
		"Role speaker: get,list,watch secrets",
		"Role viewer: get pods/log,pods/proxy",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permissions (-want +got):\n%s", diff)
	}
}

// TestFlags builds the program and asks it whether it knows the flags that the chart gives it.
func TestFlags(t *testing.T) {
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "belfry")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/belfry")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building belfry: %v\n%s", err, out)
	}
	objects := chart(t, "speaker.excludeInterfaces={veth*,docker0}", "serviceFinalizer=true", "quickstart.addresses=192.0.2.1",
		"metrics.secure=true", "ports.pprof=6060",
		"controller.serviceCIDRs={10.96.0.0/12,fd00:96::/108}", "controller.podCIDRs={10.244.0.0/16}")
	controller := get[appsv1.Deployment](t, objects, "Deployment", "belfry-controller").Spec.Template.Spec.Containers[0]
	daemon := get[appsv1.DaemonSet](t, objects, "DaemonSet", "belfry-speaker").Spec.Template.Spec.Containers[0]
	tester := get[corev1.Pod](t, objects, "Pod", "belfry-selftest").Spec.Containers[0]
	for _, c := range []corev1.Container{controller, daemon, tester} {
		help, err := exec.CommandContext(t.Context(), program, c.Command[1], "--help").CombinedOutput()
		if err != nil {
			t.Fatalf("%s --help: %v\n%s", c.Command[1], err, help)
		}
		for _, a := range c.Args {
			if flag, _, _ := strings.Cut(a, "="); !strings.Contains(string(help), " "+flag+" ") {
				t.Errorf("belfry %s knows no flag %s", c.Command[1], flag)
			}
		}
	}
	if want := "--exclude-interfaces=veth*,docker0"; !slices.Contains(daemon.Args, want) {
		t.Errorf("%v has no %s", daemon.Args, want)
	}
	if diff := cmp.Diff(controller.Args[:3], daemon.Args[:3]); diff != "" {
		t.Errorf("controller and speaker differ in which Services are theirs:\n%s", diff)
	}
}

func TestImage(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for want, set := range map[string][]string{
		"ghcr.io/belfry-lb/belfry:0.1.0":     nil,
		"example.net/b:v7":                   {"image.repository=example.net/b", "image.tag=v7"},
		"ghcr.io/belfry-lb/belfry@" + digest: {"image.tag=v7", "image.digest=" + digest},
	} {
		d := get[appsv1.DaemonSet](t, chart(t, set...), "DaemonSet", "belfry-speaker")
		if got := d.Spec.Template.Spec.Containers[0].Image; got != want {
			t.Errorf("%v: image %s, want %s", set, got, want)
		}
	}
}

func TestCRDs(t *testing.T) {
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, "config", "crd", "bases", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs in config/crd/bases: %v", err)
	}
	var want []*unstructured.Unstructured
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := render.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, objects...)
	}
	got := crds(chart(t))
	for _, o := range got {
		a := o.GetAnnotations()
		if a["helm.sh/resource-policy"] != "keep" {
			t.Errorf("%s would go with the release", o.GetName())
		}
		delete(a, "helm.sh/resource-policy")
		o.SetAnnotations(a)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CRDs of config/crd and the chart (-config +chart):\n%s", diff)
	}
	if left := crds(chart(t, "crds.enabled=false")); len(left) != 0 {
		t.Errorf("crds.enabled=false leaves %d CRDs", len(left))
	}
}

func crds(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() != "CustomResourceDefinition" })
}

func TestDisruptionBudget(t *testing.T) {
	budgets := func(set string) int {
		n := 0
		for _, o := range chart(t, set) {
			if o.GetKind() == "PodDisruptionBudget" {
				n++
			}
		}
		return n
	}
	if budgets("controller.replicas=2") != 1 || budgets("controller.replicas=1") != 0 {
		t.Error("a budget belongs to two replicas and more; with one it would block every drain")
	}
}

func TestSchemaRefuses(t *testing.T) {
	for set, words := range map[string]string{
		"replicas=3":                               "replicas",
		"controller.replica=3":                     "replica",
		"controller.replicas=two":                  "replicas",
		"controller.logLevel=trace":                "logLevel",
		"speaker.failover=faster":                  "failover",
		"speaker.membersBind=":                     "membersBind",
		"ports.liveness=0":                         "liveness",
		"speaker.terminationGracePeriodSeconds=19": "minimum: got 19, want 20",
		"speaker.excludeInterfaces=eth0":           "excludeInterfaces",
		"speaker.nodeSelector.a=1":                 "nodeSelector",
		"logFormat=text":                           "logFormat",
		"handleUnclassed=sometimes":                "handleUnclassed",
		"loadBalancerClass=no class":               "loadBalancerClass",
		"image.digest=sha256:1":                    "digest",
		"image.pullPolicy=Sometimes":               "pullPolicy",
		"ports.metrics=70000":                      "metrics",
		"crds.enabled=maybe":                       "enabled",
		"crds.keep=true":                           "keep",
		"quickstart.adresses=192.0.2.1":            "adresses",
		"quickstart.addresses=true":                "addresses",
		"ports.pprof=-1":                           "pprof",
		"speaker.maxUnavailable=0":                 "maxUnavailable",
		"speaker.maxUnavailable=half":              "maxUnavailable",
		"metrics.podMonitor.interval=30":           "interval",
		"metrics.secure=please":                    "secure",
		"speaker.tolerations.key=anything":         "tolerations",
	} {
		t.Run(set, func(t *testing.T) {
			_, err := render.Chart(t.Context(), set)
			if err == nil || !strings.Contains(err.Error(), "values don't meet the specifications of the schema") || !strings.Contains(err.Error(), words) {
				t.Errorf("got %v, want a complaint about %s", err, words)
			}
		})
	}
}

// TestBGPCapabilities: each comes with the feature that needs it, and only then.
func TestBGPCapabilities(t *testing.T) {
	for set, want := range map[string][]corev1.Capability{
		"speaker.bgp.listen=true":        {"NET_RAW", "NET_BIND_SERVICE"},
		"speaker.bgp.discardUnused=true": {"NET_RAW", "NET_ADMIN"},
	} {
		d := get[appsv1.DaemonSet](t, chart(t, set), "DaemonSet", "belfry-speaker")
		if diff := cmp.Diff(want, d.Spec.Template.Spec.Containers[0].SecurityContext.Capabilities.Add); diff != "" {
			t.Errorf("%s (-want +got):\n%s", set, diff)
		}
	}
}
