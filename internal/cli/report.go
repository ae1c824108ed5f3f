package cli

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/internal/explain"
)

// Limits of what a report takes of each Pod.
const (
	logBytes    = 4 << 20
	metricBytes = 4 << 20
)

func (a *app) newReport() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Write a support bundle without secrets: objects, events, logs, metrics, what doctor finds",
		Long: "Writes one tar with all that somebody needs who is to help: our objects with their statuses, Services of type LoadBalancer and\n" +
			"their endpoints, Nodes, Belfry's own Pods, events, logs and metrics, and what status and doctor say. Secrets are never read;\n" +
			"whatever looks like a password, token or key is taken out of the rest. What you may not read is left out, and listed in missing.txt.",
		GroupID: groupAsk, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.report(cmd.Context(), file) },
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "where to write; - for the standard output (default belfry-report-TIME.tar)")
	return cmd
}

func (a *app) report(ctx context.Context, file string) (err error) {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if file == "" {
		file = "belfry-report-" + a.now().UTC().Format("20060102-150405") + ".tar"
	}
	out := a.io.Out
	if file != "-" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // #nosec G304 -- the user names it
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	b := &bundle{tar: tar.NewWriter(out), now: a.now(), system: a.system}
	stop := a.progress("gathering")
	err = a.fill(ctx, c, b)
	stop()
	if err != nil {
		return err
	}
	if err := errors.Join(b.add("missing.txt", b.missing), b.tar.Close()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if file != "-" {
		fmt.Fprintf(a.io.Out, "wrote %s: read it before you pass it on\n", file)
	}
	return nil
}

// bundle is the tar that is being written.
type bundle struct {
	tar     *tar.Writer
	now     time.Time
	system  string
	missing []byte
}

// add writes a file, without secrets.
func (b *bundle) add(name string, content []byte) error {
	content = scrubText(content)
	h := &tar.Header{Name: path.Join("belfry-report", name), Mode: 0o600, Size: int64(len(content)), ModTime: b.now}
	if err := b.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err := b.tar.Write(content)
	return err
}

func (b *bundle) lacks(what string, err error) {
	b.missing = fmt.Appendf(b.missing, "%s: %v\n", what, err)
}

// collection is objects that go into one file.
type collection struct {
	file string
	kind schema.GroupVersionKind
	opts []client.ListOption
}

func (a *app) collections(c *cluster) []collection {
	system := client.InNamespace(a.system)
	list := []collection{
		{"services", corev1.SchemeGroupVersion.WithKind("Service"), []client.ListOption{ofLoadBalancers()}},
		{"endpointslices", discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), nil},
		{"nodes", corev1.SchemeGroupVersion.WithKind("Node"), nil},
		{"namespaces", corev1.SchemeGroupVersion.WithKind("Namespace"), nil},
		{"servicecidrs", schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "ServiceCIDR"}, nil},
		{"system/pods", corev1.SchemeGroupVersion.WithKind("Pod"), []client.ListOption{system}},
		{"system/deployments", schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, []client.ListOption{system}},
		{"system/daemonsets", schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "DaemonSet"}, []client.ListOption{system}},
		{"system/leases", schema.GroupVersionKind{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}, []client.ListOption{system}},
		{"events", corev1.SchemeGroupVersion.WithKind("Event"), nil},
	}
	for _, gvk := range c.ownKinds() {
		list = append(list, collection{"belfry/" + gvk.Kind, gvk, nil})
	}
	return list
}

// fill gathers everything. What cannot be had is noted, and the rest is gathered all the same.
func (a *app) fill(ctx context.Context, c *cluster, b *bundle) error {
	if err := b.add("version.txt", []byte("plugin "+a.version+"\nserver "+c.config.Host+"\n")); err != nil {
		return err
	}
	for _, x := range a.collections(c) {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(x.kind.GroupVersion().WithKind(x.kind.Kind + "List"))
		if err := c.client.List(ctx, &list, x.opts...); err != nil {
			b.lacks(x.file, err)
			continue
		}
		if err := b.addObjects(x, list.Items); err != nil {
			return err
		}
	}
	if err := a.addPods(ctx, c, b); err != nil {
		return err
	}
	return a.addFindings(ctx, c, b)
}

func (b *bundle) addObjects(x collection, items []unstructured.Unstructured) error {
	var kept []any
	for i := range items {
		if x.kind.Kind == "Event" && !b.concerns(items[i]) {
			continue
		}
		scrubObject(items[i].Object)
		kept = append(kept, items[i].Object)
	}
	text, err := yaml.Marshal(map[string]any{"items": kept})
	if err != nil {
		return fmt.Errorf("writing %s: %w", x.file, err)
	}
	return b.add(x.file+".yaml", text)
}

// concerns tells whether an event is about a kind that matters here.
func (b *bundle) concerns(e unstructured.Unstructured) bool {
	kind, _, _ := unstructured.NestedString(e.Object, "involvedObject", "kind")
	version, _, _ := unstructured.NestedString(e.Object, "involvedObject", "apiVersion")
	return kind == "Service" || kind == "Node" || version == groupVersion() || e.GetNamespace() == b.system
}

// addPods adds what Belfry's Pods say: their logs, those before a restart too, and their metrics.
func (a *app) addPods(ctx context.Context, c *cluster, b *bundle) error {
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, client.InNamespace(a.system), client.MatchingLabels{"app.kubernetes.io/name": "belfry"}); err != nil {
		b.lacks("Pods", err)
		return nil
	}
	r, err := c.core()
	if err != nil {
		return err
	}
	for i := range pods.Items {
		p := &pods.Items[i]
		restarted := len(p.Status.ContainerStatuses) > 0 && p.Status.ContainerStatuses[0].RestartCount > 0
		for _, previous := range []bool{false, true} {
			if previous && !restarted {
				continue
			}
			if err := b.addFrom(ctx, logName(p.Name, previous), logBytes, logsOf(r, p, previous)); err != nil {
				return err
			}
		}
		if port := metricsPort(p); port != "" {
			request := r.Get().Namespace(p.Namespace).Resource("pods").SubResource("proxy").Name(p.Name + ":" + port).Suffix("metrics")
			if err := b.addFrom(ctx, "metrics/"+p.Name+".txt", metricBytes, request); err != nil {
				return err
			}
		}
	}
	return nil
}

func logName(pod string, previous bool) string {
	if previous {
		return "logs/" + pod + ".before-restart.log"
	}
	return "logs/" + pod + ".log"
}

func logsOf(r rest.Interface, p *corev1.Pod, previous bool) *rest.Request {
	limit := int64(logBytes)
	return r.Get().Namespace(p.Namespace).Resource("pods").SubResource("log").Name(p.Name).
		Param("limitBytes", fmt.Sprint(limit)).Param("timestamps", "true").Param("previous", fmt.Sprint(previous))
}

func metricsPort(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		for _, port := range c.Ports {
			if port.Name == "metrics" {
				return fmt.Sprint(port.ContainerPort)
			}
		}
	}
	return ""
}

// addFrom adds an answer, or notes that there is none.
func (b *bundle) addFrom(ctx context.Context, name string, limit int64, request *rest.Request) error {
	body, err := request.Stream(ctx)
	if err != nil {
		b.lacks(name, err)
		return nil
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, limit))
	if err != nil && !apierrors.IsNotFound(err) {
		b.lacks(name, err)
	}
	return b.add(name, text)
}

// addFindings adds what status and doctor say.
func (a *app) addFindings(ctx context.Context, c *cluster, b *bundle) error {
	found, err := a.diagnose(ctx, c)
	if err != nil {
		b.lacks("doctor", err)
		return nil
	}
	for name, v := range map[string]any{"doctor.yaml": explain.Examine(found), "status.yaml": a.statusOf(found.Facts)} {
		text, err := yaml.Marshal(v)
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := b.add(name, text); err != nil {
			return err
		}
	}
	return nil
}
