package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestReportHoldsNoSecret plants secrets wherever an object has room for one and looks through the whole report.
func TestReportHoldsNoSecret(t *testing.T) {
	shared.turn <- struct{}{}
	defer func() { empty(t); <-shared.turn }()
	const plant = "Pl4ntedS3cr3t"
	manifest := strings.NewReplacer("PLANT", plant, "PORT", kubelet(t, plant)).Replace(planted)
	if err := each(manifest, func(o *unstructured.Unstructured) error { return apply(context.Background(), o) }); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.tar")
	out, err := exec.Command("belfry", "report", "-f", file, "--kubeconfig", shared.kubeconfig).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := untar(t, file)
	for name, content := range files {
		if bytes.Contains(content, []byte(plant)) {
			t.Errorf("%s holds a secret:\n%s", name, content)
		}
	}
	for name, want := range map[string]string{
		"version.txt": "plugin v1.2.3", "belfry/IPAddressPool.yaml": "192.0.2.10", "services.yaml": "name: planted", "events.yaml": "AddressAssigned",
		"system/pods.yaml": "name: speaker-planted", "doctor.yaml": "speakers run", "status.yaml": "controller", "missing.txt": "metrics/speaker-planted.txt",
		"belfry/BGPPeer.yaml": "peerAddress: 192.0.2.254", "logs/speaker-planted.log": "Session established", "logs/speaker-planted.before-restart.log": "Session established",
	} {
		if !bytes.Contains(files["belfry-report/"+name], []byte(want)) {
			t.Errorf("%s does not hold %q:\n%s", name, want, files["belfry-report/"+name])
		}
	}
}

// kubelet answers for the node when the API server asks for logs, and returns its port.
func kubelet(t *testing.T, plant string) string {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"msg":"Session established","peer":"tor","password":"%[1]s"}
dialing https://user:%[1]s@example.com with token=%[1]s
Authorization: Bearer %[1]s.%[1]s
-----BEGIN EC PRIVATE KEY-----
%[1]s
-----END EC PRIVATE KEY-----
`, plant)
	}))
	t.Cleanup(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func untar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	b, err := exec.Command("cat", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

const planted = `
apiVersion: v1
kind: Namespace
metadata: {name: belfry-system, annotations: {example.com/x: PLANT}}
---
apiVersion: v1
kind: Secret
metadata: {name: belfry-memberlist, namespace: belfry-system}
stringData: {secretkey: PLANT}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: belfry-system}
data: {x: PLANT}
---
apiVersion: v1
kind: Pod
metadata:
  name: speaker-planted
  namespace: belfry-system
  labels: {app.kubernetes.io/name: belfry, app.kubernetes.io/component: speaker}
  annotations: {example.com/x: PLANT}
spec:
  nodeName: n1
  containers:
  - name: speaker
    image: belfry
    args: [--password=PLANT, "--token PLANT2", --secret, PLANT]
    env: [{name: TOKEN, value: PLANT}, {name: HARMLESS, value: PLANT}]
    ports: [{name: metrics, containerPort: 7980}]
  initContainers: [{name: first, image: belfry, env: [{name: X, value: PLANT}], command: [sh, -c, "login --password PLANT"]}]
status:
  conditions: [{type: Ready, status: "False", message: "password=PLANT"}]
  containerStatuses: [{name: speaker, image: belfry, imageID: x, restartCount: 1, lastState: {terminated: {exitCode: 1, message: "secret: PLANT"}}, state: {waiting: {reason: X, message: "https://user:PLANT@example.com"}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: belfry-controller
  namespace: belfry-system
  labels: {app.kubernetes.io/name: belfry, app.kubernetes.io/component: controller}
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"x":"PLANT"}'}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}, annotations: {x: PLANT}}
    spec: {containers: [{name: controller, image: belfry, env: [{name: A, value: PLANT}], command: [sh, -c, "export API_KEY=PLANT; x"]}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1, annotations: {example.com/x: PLANT}}
status: {addresses: [{type: InternalIP, address: 127.0.0.1}], daemonEndpoints: {kubeletEndpoint: {Port: PORT}}, conditions: [{type: Ready, status: "True", message: "token=PLANT"}]}
---
apiVersion: v1
kind: Service
metadata: {name: planted, namespace: default, annotations: {example.com/token: PLANT, kubectl.kubernetes.io/last-applied-configuration: PLANT}}
spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}
status: {conditions: [{type: example.com/Y, status: "True", reason: R, message: "token=PLANT", lastTransitionTime: "2026-01-01T00:00:00Z"}]}
---
apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: lan, annotations: {example.com/x: PLANT}}
spec: {addresses: [192.0.2.10-192.0.2.11]}
---
apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: tor, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"password":"PLANT"}}'}}
spec: {myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.254, password: PLANT}
---
apiVersion: belfry.dev/v1beta1
kind: IPReservation
metadata: {name: r, namespace: default, annotations: {example.com/x: PLANT}}
spec: {}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: planted, namespace: default, labels: {kubernetes.io/service-name: planted}, annotations: {endpoints.kubernetes.io/last-change-trigger-time: PLANT, example.com/x: PLANT}}
addressType: IPv4
endpoints: []
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: planted, namespace: belfry-system, annotations: {example.com/x: PLANT}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: belfry-speaker, namespace: belfry-system, annotations: {deprecated.daemonset.template.generation: "1"}}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: speaker, image: belfry, env: [{name: A, value: PLANT}], livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: Authorization, value: "Bearer PLANT"}]}}}]}
---
apiVersion: v1
kind: Event
metadata: {name: e2, namespace: default, annotations: {example.com/x: PLANT}}
involvedObject: {kind: Node, name: n1}
reason: Failed
message: 'exec: belfry --bgp-password PLANT'
---
apiVersion: v1
kind: Event
metadata: {name: e1, namespace: default}
involvedObject: {kind: Service, namespace: default, name: planted}
reason: AddressAssigned
message: 'Authorization: Bearer PLANTPLANT'
`
