//go:build soak

package budget

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/e2e/harness"
)

// How big the cluster is, and what the programs may need at most then, in MiB.
const (
	bigServices   = 10000
	bigNodes      = 100
	inParallel    = 32
	mostAnything  = 60 * time.Minute
	mostSpeaker   = 100
	mostLeader    = 150
	bigNamespace  = "big"
	bigPool       = "10.64.0.0/16"
	endpointsEach = 3
)

// TestSoakMemory shows what both programs need in a cluster with 10,000 Services and the objects of 100 nodes, three of which
// are real: resident, and at most so far. The figures of the chart's resources come from here. It stops the kube-proxies, so the
// lab is of no use afterwards.
func TestSoakMemory(t *testing.T) {
	s := harness.NewScene(t, stage, mostAnything)
	report(s, "empty")
	s.Apply(fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", bigNamespace))
	s.Apply(fmt.Sprintf(`apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: big}
spec: {addresses: [%s], autoAssign: false}
---
apiVersion: belfry.dev/v1beta1
kind: L2Advertisement
metadata: {name: big}
spec: {ipAddressPools: [big]}
`, bigPool))
	for i := len(s.Lab.Nodes()); i < bigNodes; i++ {
		s.Must(bigNode(s, i))
	}
	// Rules for so many Services would take all that the machine has, and nobody connects.
	for i := range s.Lab.Nodes() {
		_, err := s.Lab.ExecInside(s.Ctx, i+1, "pkill", "-STOP", "-x", "kube-proxy")
		s.Must(err)
	}
	began := time.Now()
	s.Must(many(s.Ctx, bigServices, func(ctx context.Context, i int) error { return bigService(ctx, s.K8s, i) }))
	s.Logf("%d Services made in %s", bigServices, time.Since(began))
	s.Eventually("all to be announced", func() error { return announced(s) })
	s.Logf("all announced after %s", time.Since(began))
	if _, _, err := begin(s).settled(s.Ctx); err != nil {
		t.Fatal(err)
	}
	for program, mib := range report(s, "10,000 Services") {
		most := mostSpeaker
		if strings.HasPrefix(program, "controller") {
			most = mostLeader
		}
		if mib > most {
			t.Errorf("%s needs %d MiB, want %d at most", program, mib, most)
		}
	}
}

func many(ctx context.Context, n int, do func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inParallel)
	for i := range n {
		g.Go(func() error { return do(ctx, i) })
	}
	return g.Wait()
}

// bigService makes a Service as they are in clusters, and its endpoints, whose pods are on the three nodes.
func bigService(ctx context.Context, k client.Client, i int) error {
	name := fmt.Sprintf("service-%05d", i)
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/instance": name, "app.kubernetes.io/managed-by": "Helm"}
	o := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: bigNamespace, Name: name, Labels: labels, Annotations: map[string]string{v1beta1.AnnotationPool: "big"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false),
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "https", Port: 443}},
		},
	}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: bigNamespace, Name: name + "-x7k2p", Labels: maps.Clone(labels)},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: new("http"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)},
			{Name: new("https"), Port: new(int32(8443)), Protocol: new(corev1.ProtocolTCP)},
		},
	}
	slice.Labels[discoveryv1.LabelServiceName] = name
	for e := range endpointsEach {
		at := netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)})
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{at.String()}, NodeName: new(fmt.Sprintf("n%d", e+1)),
			Conditions: discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: bigNamespace, Name: fmt.Sprintf("%s-5d78c9869d-%05d", name, e), UID: "0b3e9c3e-0c5c-4f0e-9d67-5d0a6d5a7c11"},
		})
	}
	return errors.Join(k.Create(ctx, o), k.Create(ctx, slice))
}

// bigNode makes a Node without a machine, with labels, images and conditions as kubelets report them, and the status that its
// speaker would have written.
func bigNode(s *harness.Scene, i int) error {
	s.Helper()
	var like corev1.Node
	if err := s.K8s.Get(s.Ctx, client.ObjectKey{Name: "n1"}, &like); err != nil {
		return err
	}
	name := fmt.Sprintf("big-%03d", i)
	o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: maps.Clone(like.Labels), Annotations: like.Annotations}}
	o.Labels[corev1.LabelHostname] = name
	o.Spec.Unschedulable = true
	for l := range 20 {
		o.Labels[fmt.Sprintf("feature.node.kubernetes.io/cpu-%02d", l)] = "true"
	}
	if err := s.K8s.Create(s.Ctx, o); err != nil {
		return err
	}
	s.Cleanup(func() {
		if err := s.K8s.Delete(context.Background(), o); err != nil && !apierrors.IsNotFound(err) {
			s.Error(err)
		}
	})
	bare := o.DeepCopy()
	o.Status = *like.Status.DeepCopy()
	for g := range 50 {
		o.Status.Images = append(o.Status.Images, corev1.ContainerImage{
			Names: []string{fmt.Sprintf("registry.example.com/team/image-%02d@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", g)}, SizeBytes: 1 << 26,
		})
	}
	if err := s.K8s.Status().Patch(s.Ctx, o, client.MergeFrom(bare)); err != nil { // others write on Nodes, too
		return err
	}
	var status v1beta1.SpeakerStatus
	if err := s.K8s.Get(s.Ctx, client.ObjectKey{Name: "n1"}, &status); err != nil {
		return err
	}
	written := &v1beta1.SpeakerStatus{ObjectMeta: metav1.ObjectMeta{
		Name: name, OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: o.UID}},
	}}
	if err := s.K8s.Create(s.Ctx, written); err != nil {
		return err
	}
	written.Status = status.Status
	written.Status.L2 = v1beta1.SpeakerL2{}
	return s.K8s.Status().Update(s.Ctx, written)
}

// announced tells how many addresses nobody answers for yet.
func announced(s *harness.Scene) error {
	var list v1beta1.SpeakerStatusList
	if err := s.K8s.List(s.Ctx, &list); err != nil {
		return err
	}
	n := 0
	for _, o := range list.Items {
		n += int(o.Status.L2.Count)
	}
	if n < bigServices {
		return fmt.Errorf("%d of %d", n, bigServices)
	}
	return nil
}

// programs lists the product's processes on a node: what it runs as, resident and at most so far, in KiB.
const programs = `for p in /proc/[0-9]*; do
	[ "$(cat $p/comm 2>/dev/null)" = belfry ] || continue
	echo $(tr '\0' ' ' <$p/cmdline | cut -d' ' -f2) $(sed -n 's/^VmRSS:\s*\([0-9]*\).*/\1/p;s/^VmHWM:\s*\([0-9]*\).*/\1/p' $p/status)
done`

// report tells what each program needs, and returns how much is resident, in MiB.
func report(s *harness.Scene, when string) map[string]int {
	s.Helper()
	resident := map[string]int{}
	for i := range s.Lab.Nodes() {
		out, err := s.Lab.ExecInside(s.Ctx, i+1, "sh", "-c", programs)
		s.Must(err)
		for line := range strings.Lines(string(out)) {
			var program string
			var most, now int
			if _, err := fmt.Sscan(line, &program, &most, &now); err != nil {
				s.Fatalf("%q: %v", line, err)
			}
			resident[program+" on n"+strconv.Itoa(i+1)] = now / 1024
			s.Logf("%s: %s on n%d: resident %d MiB, at most so far %d MiB", when, program, i+1, now/1024, most/1024)
		}
	}
	if len(resident) != len(s.Lab.Nodes())+2 {
		s.Errorf("%d programs run: %v", len(resident), slices.Sorted(maps.Keys(resident)))
	}
	return resident
}
