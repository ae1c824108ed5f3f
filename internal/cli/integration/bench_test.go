package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Of the cluster that is measured.
const (
	manyServices = 10_000
	manyNodes    = 10
)

// BenchmarkCommands is each command in a cluster of 10,000 Services, as a user waits for it: process start to exit. Half of
// the Services are announced on the local network, half to two routers, by ten nodes.
func BenchmarkCommands(b *testing.B) {
	shared.turn <- struct{}{}
	defer func() { <-shared.turn }()
	fill(b)
	change := filepath.Join(b.TempDir(), "pool.yaml")
	if err := os.WriteFile(change, []byte(strings.Replace(pools, "10.200.0.0/17", "10.200.0.0/18", 1)), 0o600); err != nil {
		b.Fatal(err)
	}
	for _, command := range []string{
		"version", "status", "pools", "services -A", "speakers", "peers", "routes", "routes --node n3", "bfd",
		"explain svc/many-5000", "explain ip/10.200.0.7", "explain node/n3", "explain pool/near", "explain peer/r1",
		"plan --delete pool/near", "plan -f " + change, "drain n3 --dry-run", "doctor", "report -f " + filepath.Join(b.TempDir(), "r.tar"),
		"__complete explain svc/many-77",
	} {
		b.Run(strings.ReplaceAll(strings.ReplaceAll(command, b.TempDir()+"/", ""), " ", "_"), func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("belfry", strings.Fields(command)...)
				cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig)
				if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 2 {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}

const pools = `
apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: near}
spec: {addresses: [10.200.0.0/17]}
---
apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: far}
spec: {addresses: [10.200.128.0/17]}
`

const advertised = `
apiVersion: belfry.dev/v1beta1
kind: L2Advertisement
metadata: {name: near}
spec: {ipAddressPools: [near]}
---
apiVersion: belfry.dev/v1beta1
kind: BGPAdvertisement
metadata: {name: far}
spec: {ipAddressPools: [far]}
---
apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: r1}
spec: {myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.253}
---
apiVersion: belfry.dev/v1beta1
kind: BGPPeer
metadata: {name: r2}
spec: {myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.254}
`

// fill makes the cluster.
func fill(b *testing.B) {
	b.Helper()
	if err := each(pools+"---"+advertised, func(o *unstructured.Unstructured) error { return apply(b.Context(), o) }); err != nil {
		b.Fatal(err)
	}
	all, ctx := errgroup.WithContext(b.Context())
	all.SetLimit(16)
	for n := range manyNodes {
		all.Go(func() error { return createNode(ctx, n) })
	}
	for i := range manyServices {
		all.Go(func() error { return createService(ctx, i) })
	}
	if err := all.Wait(); err != nil {
		b.Fatal(err)
	}
}

// addressOf is the address of a Service: those with even numbers are of pool near, the others of pool far.
func addressOf(i int) string { return fmt.Sprintf("10.200.%d.%d", i%2*128+i/2/250, i/2%250) }

func createNode(ctx context.Context, n int) error {
	name := fmt.Sprintf("n%d", n)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	status := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := create(ctx, node, status); err != nil {
		return err
	}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.0.2.%d", n+1)}}
	status.Status = v1beta1.SpeakerStatusStatus{
		State: "ready", Version: "v1.2.3", Members: v1beta1.SpeakerMembers{Alive: manyNodes},
		Interfaces: []v1beta1.SpeakerInterface{{Name: "eth0", MAC: "02:00:00:00:00:01", Up: true, Subnets: []string{"192.0.2.0/24"}}},
	}
	for i := 2 * n; i < manyServices; i += 2 * manyNodes {
		status.Status.L2.Addresses = append(status.Status.L2.Addresses, addressOf(i))
	}
	for i, peer := range []string{"r1", "r2"} {
		status.Status.BGP.Peers = append(status.Status.BGP.Peers, v1beta1.SpeakerPeer{
			Name: peer, State: v1beta1.SessionEstablished, Remote: fmt.Sprintf("192.0.2.%d:179", 253+i), PeerASN: 64513,
			RoutesWanted: manyServices / 2, RoutesSent: manyServices / 2, BFD: &v1beta1.SpeakerBFD{State: "Up"},
		})
	}
	if err := shared.client.Status().Update(ctx, node); err != nil {
		return err
	}
	return shared.client.Status().Update(ctx, status)
}

func create(ctx context.Context, list ...client.Object) error {
	for _, o := range list {
		if err := shared.client.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func createService(ctx context.Context, i int) error {
	ip, pool := addressOf(i), []string{"near", "far"}[i%2]
	name := fmt.Sprintf("many-%d", i)
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: pool}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false), Selector: map[string]string{"app": "x"},
			Ports: []corev1.ServicePort{{Port: 80}},
		},
	}
	e := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Port: new(int32(80))}},
	}
	for n := range 3 {
		e.Endpoints = append(e.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.1.%d.%d", i/250, i%250)}, NodeName: new(fmt.Sprintf("n%d", (i+n)%manyNodes)),
			Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		})
	}
	if err := create(ctx, s, e); err != nil {
		return err
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip}}
	s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, Reason: "Allocated", Message: ip + " from pool " + pool, LastTransitionTime: metav1.Now()}}
	return shared.client.Status().Update(ctx, s)
}
