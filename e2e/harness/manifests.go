package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/charts/render"
	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Samples returns the pool and the advertisement of config/samples with their addresses moved to the lab's LAN.
func Samples(c *cluster.Cluster) (string, error) {
	root, err := render.Root()
	if err != nil {
		return "", err
	}
	var docs []string
	for _, name := range []string{"pool.yaml", "l2advertisement.yaml"} {
		b, err := os.ReadFile(filepath.Join(root, "config", "samples", name))
		if err != nil {
			return "", fmt.Errorf("reading the samples: %w", err)
		}
		docs = append(docs, string(b))
	}
	return onLAN(c, strings.Join(docs, "---\n")), nil
}

// onLAN replaces the ranges of the samples, which are those of a home network.
func onLAN(c *cluster.Cluster, manifest string) string {
	v4 := regexp.MustCompile(`192\.168\.1\.(\d+)`)
	v6 := regexp.MustCompile(`fd00:[0-9a-f:]*::([0-9a-f]+)`)
	manifest = v4.ReplaceAllString(manifest, strings.TrimSuffix(c.Addr4(1).String(), "1")+"$1")
	return v6.ReplaceAllString(manifest, strings.TrimSuffix(c.Addr6(1).String(), "1")+"$1")
}

// Web is a Deployment of the lab's web server: HTTP on 8080 and 8081, UDP on 9000, a TCP echo on 7000. Each extra line
// goes into the pod's spec.
func Web(name string, replicas int, podSpec ...string) string {
	var extra strings.Builder
	for _, l := range podSpec {
		extra.WriteString("      " + strings.ReplaceAll(l, "\n", "\n      ") + "\n")
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata:
  name: %[1]s
spec:
  replicas: %[2]d
  selector:
    matchLabels: {app: %[1]s}
  strategy:
    rollingUpdate: {maxUnavailable: 0}
  template:
    metadata:
      labels: {app: %[1]s}
    spec:
%[3]s      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: %[1]s}}}
      containers:
        - name: web
          image: %[4]s
          imagePullPolicy: Never
          env:
            - {name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
            - {name: HTTP, value: "8080,8081"}
            - {name: UDP, value: "9000"}
            - {name: ECHO, value: "7000"}
          ports:
            - {name: first, containerPort: 8080}
            - {name: second, containerPort: 8081}
          readinessProbe:
            httpGet: {path: /healthz, port: 8080}
            periodSeconds: 1
            # A busy machine is no reason to be without endpoints.
            timeoutSeconds: 5
            failureThreshold: 30
`, name, replicas, extra.String(), cluster.WebImage)
}

// WebElsewhere is Web with two replicas on any node but one.
func WebElsewhere(name, node string) string {
	return Web(name, 2, fmt.Sprintf(`affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions: [{key: kubernetes.io/hostname, operator: NotIn, values: [%s]}]`, node))
}

// Service is a Service of type LoadBalancer before a Web Deployment. Port 80 leads to 8080, any other port to itself. Each
// line of extra goes into the spec.
func Service(name, app, extra string, ports ...int) string {
	var b strings.Builder
	for _, p := range ports {
		target := p
		if p == 80 {
			target = 8080
		}
		fmt.Fprintf(&b, "    - {name: p%d, port: %d, targetPort: %d}\n", p, p, target)
	}
	if extra != "" {
		extra = "  " + strings.ReplaceAll(extra, "\n", "\n  ") + "\n"
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata:
  name: %s
spec:
  type: LoadBalancer
  selector: {app: %s}
%s  ports:
%s`, name, app, extra, b.String())
}

// Field returns the value of "key=value" in an answer of the web server.
func Field(answer, key string) string {
	for f := range strings.FieldsSeq(answer) {
		if v, ok := strings.CutPrefix(f, key+"="); ok {
			return v
		}
	}
	return ""
}

// AwaitNoEndpointOn waits until none of the Service's endpoints is on the node.
func AwaitNoEndpointOn(ctx context.Context, k client.Client, namespace, service, node string) error {
	return Eventually(ctx, "the pods of "+service+" to leave "+node, func(ctx context.Context) error {
		var list discoveryv1.EndpointSliceList
		if err := k.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
			return err
		}
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if e.NodeName != nil && *e.NodeName == node {
					return fmt.Errorf("endpoint %v is on %s", e.Addresses, node)
				}
			}
		}
		return nil
	})
}
