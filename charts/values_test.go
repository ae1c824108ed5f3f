package charts_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/controllers"
)

func file(t *testing.T, elem ...string) []byte {
	t.Helper()
	root, err := render.Root()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(append([]string{root, "charts", "belfry"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSchemaKnowsTheValues: each value has its place in the schema, and each place its default in values.yaml.
func TestSchemaKnowsTheValues(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal(file(t, "values.yaml"), &values); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(file(t, "values.schema.json"), &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["definitions"].(map[string]any)
	delete(schema["properties"].(map[string]any), "global") // helm's own
	var compare func(path string, values, schema map[string]any)
	compare = func(path string, values, schema map[string]any) {
		if ref, ok := schema["$ref"].(string); ok {
			schema = definitions[strings.TrimPrefix(ref, "#/definitions/")].(map[string]any)
		}
		properties, closed := schema["properties"].(map[string]any)
		if !closed {
			return // of any content
		}
		if schema["additionalProperties"] != false {
			t.Errorf("%s: the schema lets misspelt values pass", path)
		}
		if diff := cmp.Diff(slices.Sorted(maps.Keys(values)), slices.Sorted(maps.Keys(properties))); diff != "" {
			t.Errorf("%s (-values.yaml +schema):\n%s", path, diff)
			return
		}
		for name, v := range values {
			if inner, isMap := v.(map[string]any); isMap {
				compare(path+"."+name, inner, properties[name].(map[string]any))
			}
		}
	}
	compare("", values, schema)
}

func TestQuickstart(t *testing.T) {
	for set, want := range map[string]string{
		"192.168.1.240-192.168.1.250":             "192.168.1.240-192.168.1.250",
		"192.168.1.240 - 192.168.1.250":           "192.168.1.240-192.168.1.250",
		`192.168.1.240/28\,fd00::f0-fd00::ff`:     "192.168.1.240/28,fd00::f0-fd00::ff",
		"{192.168.1.9-192.168.1.10,fd00::/120}":   "192.168.1.9-192.168.1.10,fd00::/120",
		"2001:db8:0:1:2:3:4:5":                    "2001:db8:0:1:2:3:4:5",
		"10.0.0.250-10.0.1.5":                     "10.0.0.250-10.0.1.5",
		"{ 192.168.1.241 , 192.168.1.243 , fd::}": "192.168.1.241,192.168.1.243,fd::",
	} {
		objects := chart(t, "quickstart.addresses="+set)
		args := get[appsv1.Deployment](t, objects, "Deployment", "belfry-controller").Spec.Template.Spec.Containers[0].Args
		if !slices.Contains(args, "--quickstart-addresses="+want) {
			t.Errorf("%s: %v", set, args)
		}
		rules := get[rbacv1.ClusterRole](t, objects, "ClusterRole", "belfry-controller").Rules
		resources := []string{"ipaddresspools", "l2advertisements"}
		for _, want := range []rbacv1.PolicyRule{
			{APIGroups: []string{"belfry.dev"}, Resources: resources, Verbs: []string{"create"}},
			{APIGroups: []string{"belfry.dev"}, Resources: resources, Verbs: []string{"patch"}, ResourceNames: []string{controllers.QuickstartName}},
		} {
			if !slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool { return cmp.Equal(r, want) }) {
				t.Errorf("the controller lacks %v", want)
			}
		}
	}
	for set, words := range map[string]string{
		"192.168.1.250-192.168.1.240": `"192.168.1.250-192.168.1.240" ends before it begins`,
		"10.0.1.0-10.0.0.255":         "ends before it begins",
		"192.168.1.2400":              "is no address, no CIDR and no range: write 192.168.1.240-192.168.1.250",
		"192.168.1.240-250":           "no range",
		"192.168.1.0/33":              "no CIDR",
		"fd00::/129":                  "no CIDR",
		"my-router":                   "no address",
		"fd00::1-192.168.1.1":         "no range",
		"192.168.1.240/24":            `"192.168.1.240/24" has host bits`,
		"10.0.0.128/24":               "has host bits",
		"2001:db8::1::2":              "no IPv6 address",
		"2001:::1":                    "no IPv6 address",
		"fd00:1:2":                    "no IPv6 address",
	} {
		_, err := render.Chart(t.Context(), "quickstart.addresses="+set)
		if err == nil || !strings.Contains(err.Error(), "quickstart.addresses: ") || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want an error about %s", set, err, words)
		}
	}
}

// TestValuesThatContradict: each of them is right, together they cannot be meant.
func TestValuesThatContradict(t *testing.T) {
	for _, tt := range []struct {
		set   []string
		words string // "": they can
	}{
		{[]string{"ports.metrics=9000", "ports.health=9000"}, "ports.metrics and ports.health are both 9000"},
		{[]string{"ports.pprof=7981"}, "ports.health and ports.pprof are both 7981"},
		{[]string{"ports.metrics=7948"}, ""}, // the probes' is of UDP
		{[]string{"metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=true"}, "Prometheus counts everything twice: take one"},
	} {
		_, err := render.Chart(t.Context(), tt.set...)
		if tt.words == "" && err != nil || tt.words != "" && (err == nil || !strings.Contains(err.Error(), tt.words)) {
			t.Errorf("%v: %v, want an error about %q", tt.set, err, tt.words)
		}
	}
}

// TestSelftestRights lists what the Pod of `helm test` may do, and that no right stays.
func TestSelftestRights(t *testing.T) {
	objects := chart(t)
	seen := 0
	for _, o := range objects {
		if !strings.HasSuffix(o.GetName(), "-selftest") {
			continue
		}
		seen++
		a := o.GetAnnotations()
		goes := "before-hook-creation,hook-succeeded"
		if o.GetKind() == "Pod" {
			goes = "before-hook-creation" // its log is read after the test
		}
		if a["helm.sh/hook"] != "test" || a["helm.sh/hook-delete-policy"] != goes {
			t.Errorf("%s would stay: %v", o.GetKind(), a)
		}
	}
	if seen != 6 {
		t.Errorf("%d objects belong to the test, want 6", seen)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "create", "delete"}}}
	if diff := cmp.Diff(want, get[rbacv1.Role](t, objects, "Role", "belfry-selftest").Rules); diff != "" {
		t.Errorf("in its namespace (-want +got):\n%s", diff)
	}
	want = []rbacv1.PolicyRule{{APIGroups: []string{"belfry.dev"}, Resources: []string{"speakerstatuses"}, Verbs: []string{"list"}}}
	if diff := cmp.Diff(want, get[rbacv1.ClusterRole](t, objects, "ClusterRole", "belfry-selftest").Rules); diff != "" {
		t.Errorf("in the cluster (-want +got):\n%s", diff)
	}
	pod := get[corev1.Pod](t, objects, "Pod", "belfry-selftest")
	c := pod.Spec.Containers[0]
	if pod.Spec.HostNetwork || !*pod.Spec.SecurityContext.RunAsNonRoot || len(c.SecurityContext.Capabilities.Add) > 0 || !*c.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the Pod is not restricted")
	}
	selector := "--selector=app.kubernetes.io/instance=" + pod.Labels["app.kubernetes.io/instance"] + ",app.kubernetes.io/component=" + pod.Labels["app.kubernetes.io/component"]
	if !slices.Contains(c.Args, selector) {
		t.Errorf("%v: the Service would not find its Pod by %s", c.Args, selector)
	}
}

func TestSecureMetrics(t *testing.T) {
	objects := chart(t, "metrics.secure=true", "metrics.serviceMonitor.enabled=true")
	for program, more := range map[string][]string{"belfry-controller": {"events"}, "belfry-speaker": nil} {
		var asks []string
		for _, r := range get[rbacv1.ClusterRole](t, objects, "ClusterRole", program).Rules {
			if slices.Equal(r.Verbs, []string{"create"}) {
				asks = append(asks, r.Resources...)
			}
		}
		if diff := cmp.Diff(append(more, "tokenreviews", "subjectaccessreviews"), asks); diff != "" {
			t.Errorf("%s may create (-want +got):\n%s", program, diff)
		}
	}
	reader := get[rbacv1.ClusterRole](t, objects, "ClusterRole", "belfry-metrics-reader").Rules
	if diff := cmp.Diff([]rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}, reader); diff != "" {
		t.Errorf("reader (-want +got):\n%s", diff)
	}
	if _, err := render.Chart(t.Context(), "metrics.secure=true", "metrics.podMonitor.enabled=true"); err == nil || !strings.Contains(err.Error(), "take metrics.serviceMonitor") {
		t.Errorf("a PodMonitor for secure metrics: %v", err)
	}
}

// TestMonitors: alerts go by the label node, and nothing is read that is not at this port and path, or not to be had so.
func TestMonitors(t *testing.T) {
	plain := map[string]any{
		"interval": "30s", "port": "metrics", "path": "/metrics",
		"relabelings": []any{map[string]any{"sourceLabels": []any{"__meta_kubernetes_pod_node_name"}, "targetLabel": "node"}},
	}
	secure := maps.Clone(plain)
	secure["scheme"], secure["tlsConfig"] = "https", map[string]any{"insecureSkipVerify": true}
	secure["bearerTokenFile"] = "/var/run/secrets/kubernetes.io/serviceaccount/token"
	for _, tt := range []struct {
		kind, endpoints, set string
		want                 map[string]any
	}{
		{"PodMonitor", "podMetricsEndpoints", "metrics.podMonitor.labels.release=mine,metrics.podMonitor.enabled=true", plain},
		{"ServiceMonitor", "endpoints", "metrics.serviceMonitor.labels.release=mine,metrics.serviceMonitor.enabled=true", plain},
		{"ServiceMonitor", "endpoints", "metrics.serviceMonitor.labels.release=mine,metrics.serviceMonitor.enabled=true,metrics.secure=true", secure},
	} {
		objects := chart(t, tt.set)
		for _, component := range []string{"controller", "speaker"} {
			monitor := unstructured.Unstructured{Object: get[map[string]any](t, objects, tt.kind, "belfry-"+component)}
			if monitor.GetLabels()["release"] != "mine" {
				t.Errorf("labels of the %s: %v", tt.kind, monitor.GetLabels())
			}
			got, _, err := unstructured.NestedSlice(monitor.Object, "spec", tt.endpoints)
			if diff := cmp.Diff([]any{tt.want}, got); err != nil || diff != "" {
				t.Errorf("%s of the %s with %s: %v (-want +got):\n%s", tt.kind, component, tt.set, err, diff)
			}
			selects, _, _ := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
			if found := monitored(t, objects, tt.kind, component); len(selects) == 0 || !labels.SelectorFromSet(selects).Matches(labels.Set(found)) {
				t.Errorf("the %s of the %s looks for %v, and would not find %v", tt.kind, component, selects, found)
			}
		}
	}
}

// monitored returns the labels of what a monitor is to find.
func monitored(t *testing.T, objects []*unstructured.Unstructured, kind, component string) map[string]string {
	t.Helper()
	pod := get[appsv1.Deployment](t, objects, "Deployment", "belfry-controller").Spec.Template
	if component == "speaker" {
		pod = get[appsv1.DaemonSet](t, objects, "DaemonSet", "belfry-speaker").Spec.Template
	}
	named := slices.ContainsFunc(pod.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool { return p.Name == "metrics" })
	if !named {
		t.Errorf("no port of the %s is called metrics", component)
	}
	if kind == "PodMonitor" {
		return pod.Labels
	}
	s := get[corev1.Service](t, objects, "Service", "belfry-"+component+"-metrics")
	if p := s.Spec.Ports[0]; s.Spec.ClusterIP != "None" || !s.Spec.PublishNotReadyAddresses || p.Name != "metrics" || p.TargetPort.String() != "metrics" {
		t.Errorf("Service of the %s: %+v", component, s.Spec)
	}
	if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Errorf("the Service of the %s selects %v, the Pod has %v", component, s.Spec.Selector, pod.Labels)
	}
	return s.Labels
}

// TestAlertsAndDashboard: what Prometheus and Grafana are given is what stands in files/, whole.
func TestAlertsAndDashboard(t *testing.T) {
	objects := chart(t, "metrics.prometheusRule.enabled=true", "metrics.prometheusRule.labels.release=mine",
		"metrics.dashboard.enabled=true", "metrics.dashboard.annotations.folder=lan")
	rule := get[map[string]any](t, objects, "PrometheusRule", "belfry")
	var want map[string]any
	if err := yaml.Unmarshal(file(t, "files", "alerts.yaml"), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(want), rule["spec"]); diff != "" {
		t.Errorf("rules (-files/alerts.yaml +chart):\n%s", diff)
	}
	if labels := rule["metadata"].(map[string]any)["labels"].(map[string]any); labels["release"] != "mine" {
		t.Errorf("labels of the rules: %v", labels)
	}
	board := get[corev1.ConfigMap](t, objects, "ConfigMap", "belfry-dashboard")
	if board.Labels["grafana_dashboard"] != "1" || board.Annotations["folder"] != "lan" {
		t.Errorf("labels %v, annotations %v", board.Labels, board.Annotations)
	}
	if got, want := strings.TrimSpace(board.Data["belfry.json"]), strings.TrimSpace(string(file(t, "files", "dashboard.json"))); got != want {
		t.Errorf("the dashboard of %d bytes became one of %d", len(want), len(got))
	}
}

func TestNetworkPolicy(t *testing.T) {
	objects := chart(t, "networkPolicy.enabled=true", "networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus")
	p := get[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", "belfry-controller").Spec
	pod := get[appsv1.Deployment](t, objects, "Deployment", "belfry-controller").Spec.Template
	for k, v := range p.PodSelector.MatchLabels {
		if pod.Labels[k] != v {
			t.Errorf("the policy selects %s=%s, the Pod has %q", k, v, pod.Labels[k])
		}
	}
	if p.Ingress[0].From != nil || p.Ingress[1].From[0].PodSelector.MatchLabels["app"] != "prometheus" || len(p.PolicyTypes) != 2 {
		t.Errorf("%+v", p)
	}
	for set, want := range map[string]string{
		"networkPolicy.enabled=true":                "TCP/443 TCP/6443 UDP/53 TCP/53",
		"networkPolicy.apiServerPorts={16443}":      "TCP/16443 UDP/53 TCP/53",
		"networkPolicy.apiServerPorts={443\\,7445}": "",
	} {
		objects, err := render.Chart(t.Context(), "networkPolicy.enabled=true", set)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "apiServerPorts") {
				t.Errorf("%s: %v", set, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, port := range get[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy", "belfry-controller").Spec.Egress[0].Ports {
			out = append(out, string(*port.Protocol)+"/"+port.Port.String())
		}
		if got := strings.Join(out, " "); got != want {
			t.Errorf("%s: the way out is %s, want %s", set, got, want)
		}
	}
}

// TestGracePeriods: the kubelet waits for the goodbyes of both programs.
func TestGracePeriods(t *testing.T) {
	for set, want := range map[string]int64{"controller.replicas=2": 30, "speaker.terminationGracePeriodSeconds=90": 90} {
		objects := chart(t, set)
		speaker := get[appsv1.DaemonSet](t, objects, "DaemonSet", "belfry-speaker").Spec.Template.Spec
		controller := get[appsv1.Deployment](t, objects, "Deployment", "belfry-controller").Spec.Template.Spec
		if *speaker.TerminationGracePeriodSeconds != want || *controller.TerminationGracePeriodSeconds != 15 {
			t.Errorf("%s: %d seconds for the speaker, %d for the controller", set, *speaker.TerminationGracePeriodSeconds, *controller.TerminationGracePeriodSeconds)
		}
	}
}

// TestArtifactHub: what the annotations list is what the chart has.
func TestArtifactHub(t *testing.T) {
	var meta struct {
		AppVersion  string
		Annotations map[string]string
	}
	if err := yaml.Unmarshal(file(t, "Chart.yaml"), &meta); err != nil {
		t.Fatal(err)
	}
	var listed []struct{ Kind, Version, Name, DisplayName, Description string }
	if err := yaml.UnmarshalStrict([]byte(meta.Annotations["artifacthub.io/crds"]), &listed); err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, l := range listed {
		if l.Description == "" || l.DisplayName != l.Kind {
			t.Errorf("%+v", l)
		}
		got = append(got, l.Kind+" "+l.Version+" "+l.Name)
	}
	for _, o := range crds(chart(t)) {
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
		want = append(want, kind+" "+versions[0].(map[string]any)["name"].(string)+" "+o.GetName())
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("CRDs (-chart +annotation):\n%s", diff)
	}
	var images []struct {
		Name, Image string
		Platforms   []string
	}
	if err := yaml.UnmarshalStrict([]byte(meta.Annotations["artifacthub.io/images"]), &images); err != nil {
		t.Fatal(err)
	}
	d := get[appsv1.DaemonSet](t, chart(t), "DaemonSet", "belfry-speaker")
	if len(images) != 1 || images[0].Image != d.Spec.Template.Spec.Containers[0].Image {
		t.Errorf("images %+v, the chart pulls %s", images, d.Spec.Template.Spec.Containers[0].Image)
	}
	for _, key := range []string{"category", "license", "links"} {
		if meta.Annotations["artifacthub.io/"+key] == "" {
			t.Errorf("there is no artifacthub.io/%s", key)
		}
	}
}

func TestMaxUnavailable(t *testing.T) {
	for set, want := range map[string]string{"3": "3", "10%": "10%"} {
		d := get[appsv1.DaemonSet](t, chart(t, "speaker.maxUnavailable="+set), "DaemonSet", "belfry-speaker")
		if u := d.Spec.UpdateStrategy.RollingUpdate; u.MaxUnavailable.String() != want || u.MaxSurge.IntValue() != 0 {
			t.Errorf("%s: %+v", set, u)
		}
	}
}
