// Command demo is the walk that Kubernetes tutorials take and that ends at <pending> on bare metal: it brings up a real
// cluster on this machine, installs Belfry with helm, exposes a Deployment and curls it from a host on the LAN; then it
// cuts the power of the node that announces the address. It leaves the cluster running.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// labName names the lab that `make demo-down` takes down.
const labName = "demo"

// stepTimeout bounds one step. The first builds Kubernetes on a machine that has not done so before.
const stepTimeout = 30 * time.Minute

// demo is what the steps hand on to each other.
type demo struct {
	lab *cluster.Cluster
	k   client.Client
	out *printer
}

// step is a part of the walk.
type step struct {
	title string
	run   func(*demo, context.Context) error
}

func steps() []step {
	return []step{
		{"Bring up a real Kubernetes: three nodes, a LAN, a host on it that is no part of the cluster", (*demo).up},
		{"helm install belfry", (*demo).install},
		{"Give it addresses: an IPAddressPool and an L2Advertisement", (*demo).configure},
		{"A web Deployment of three replicas, exposed: kubectl expose deployment web --type LoadBalancer --port 80", (*demo).expose},
		{"curl it from the LAN, over IPv4 and IPv6", (*demo).curl},
		{"A Service of two ports", (*demo).twoPorts},
		{"externalTrafficPolicy: Local: the pod sees the client's own address", (*demo).local},
		{"sessionAffinity: ClientIP: one client stays with one pod", (*demo).affinity},
		{"Cut the power of the node that announces the address", (*demo).powerCut},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := walk(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func walk(ctx context.Context) error {
	began := time.Now()
	d := &demo{out: &printer{w: os.Stdout}}
	for i, s := range steps() {
		d.out.title(fmt.Sprintf("%d/%d  %s", i+1, len(steps()), s.title))
		start := time.Now()
		stepCtx, cancel := context.WithTimeoutCause(ctx, stepTimeout, errors.New("the step took too long"))
		err := s.run(d, stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("step %d, %s: %w", i+1, s.title, err)
		}
		d.out.done(time.Since(start))
	}
	d.out.farewell(d.lab.Kubeconfig(), d.lab.Binaries().Path("kubectl"), time.Since(began))
	return nil
}
