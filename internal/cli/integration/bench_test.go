package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// BenchmarkCommands is each command in a cluster of 10,000 Services, as a user waits for it: process start to exit.
func BenchmarkCommands(b *testing.B) {
	shared.turn <- struct{}{}
	defer func() { <-shared.turn }()
	ctx := context.Background()
	pool := &v1beta1.IPAddressPool{ObjectMeta: metav1.ObjectMeta{Name: "many"}, Spec: v1beta1.IPAddressPoolSpec{Addresses: []v1beta1.AddressRange{"10.200.0.0/16"}}}
	adv := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "many"}}
	if err := shared.client.Create(ctx, pool); err != nil {
		b.Fatal(err)
	}
	if err := shared.client.Create(ctx, adv); err != nil {
		b.Fatal(err)
	}
	numbers := make(chan int)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for i := range numbers {
				if err := createService(ctx, i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range 10_000 {
		numbers <- i
	}
	close(numbers)
	all.Wait()
	for _, args := range [][]string{
		{"status"}, {"pools"}, {"services", "-A"}, {"speakers"}, {"explain", "svc/many-5000"}, {"explain", "pool/many"}, {"plan", "--delete", "pool/many"}, {"doctor"},
	} {
		b.Run(fmt.Sprint(args), func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command("belfry", args...)
				cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig)
				if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 2 {
					b.Fatalf("%v: %s", err, out)
				}
			}
		})
	}
}

func createService(ctx context.Context, i int) error {
	ip := fmt.Sprintf("10.200.%d.%d", i/256, i%256)
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("many-%d", i), Annotations: map[string]string{v1beta1.AnnotationAllocatedFrom: "many"}},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, AllocateLoadBalancerNodePorts: new(false), Selector: map[string]string{"app": "x"},
			Ports: []corev1.ServicePort{{Port: 80}},
		},
	}
	if err := shared.client.Create(ctx, s); err != nil {
		return err
	}
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip}}
	s.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAllocated, Status: metav1.ConditionTrue, Reason: "Allocated", Message: ip + " from pool many", LastTransitionTime: metav1.Now()}}
	return shared.client.Status().Update(ctx, s)
}
