package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

func (d *demo) up(ctx context.Context) (err error) {
	if earlier, err := cluster.Open(labName); err == nil {
		d.out.say("taking down the cluster of an earlier demo")
		if err := earlier.Down(ctx); err != nil {
			return err
		}
	}
	d.lab, err = cluster.Start(ctx, cluster.Options{Name: labName, Detached: true, Log: d.out})
	if err != nil {
		return err
	}
	if d.k, err = harness.Client(d.lab); err != nil {
		return err
	}
	if err := harness.BuildWebImage(ctx, d.lab); err != nil {
		return err
	}
	return d.kubectl(ctx, "get", "nodes", "-o", "wide")
}

func (d *demo) install(ctx context.Context) error {
	d.out.say("building the image and loading it into the nodes")
	if err := harness.BuildImage(ctx, d.lab); err != nil {
		return err
	}
	if err := harness.Install(ctx, d.lab); err != nil {
		return err
	}
	return d.kubectl(ctx, "--namespace", harness.Namespace, "get", "pods", "-o", "wide")
}

func (d *demo) configure(ctx context.Context) error {
	manifest, err := harness.Samples(d.lab)
	if err != nil {
		return err
	}
	d.out.say("%s", manifest)
	if err := harness.Apply(ctx, d.lab, manifest); err != nil {
		return err
	}
	return d.kubectl(ctx, "wait", "--for=condition=Ready", "ippool", "--all", "--timeout=30s")
}

func (d *demo) expose(ctx context.Context) error {
	if err := harness.Apply(ctx, d.lab, harness.Web("web", 3)); err != nil {
		return err
	}
	if err := harness.AwaitDeployment(ctx, d.lab, "default", "web"); err != nil {
		return err
	}
	const dual = `{"spec":{"ipFamilyPolicy":"PreferDualStack"}}`
	if err := d.kubectl(ctx, "expose", "deployment", "web", "--type", "LoadBalancer", "--port", "80", "--target-port", "8080", "--overrides", dual); err != nil {
		return err
	}
	if _, err := d.addresses(ctx, "web", 2); err != nil {
		return err
	}
	return d.kubectl(ctx, "get", "svc", "web")
}

func (d *demo) curl(ctx context.Context) error {
	addrs, err := d.addresses(ctx, "web", 2)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		pods := map[string]bool{}
		err := harness.Eventually(ctx, "answers of several pods", func(ctx context.Context) error {
			answer, err := d.get(ctx, a, 80)
			if err != nil {
				return err
			}
			if pod := harness.Field(answer, "pod"); !pods[pod] {
				pods[pod] = true
				d.out.say("$ curl http://%s\n%s", net.JoinHostPort(a.String(), "80"), answer)
			}
			if len(pods) < 2 {
				return fmt.Errorf("%d pod has answered so far", len(pods))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) twoPorts(ctx context.Context) error {
	if err := harness.Apply(ctx, d.lab, harness.Service("two-ports", "web", "", 80, 8081)); err != nil {
		return err
	}
	addrs, err := d.addresses(ctx, "two-ports", 1)
	if err != nil {
		return err
	}
	for _, port := range []int{80, 8081} {
		if err := d.show(ctx, addrs[0], port); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) local(ctx context.Context) error {
	if err := harness.Apply(ctx, d.lab, harness.Service("local", "web", "externalTrafficPolicy: Local", 80)); err != nil {
		return err
	}
	addrs, err := d.addresses(ctx, "local", 1)
	if err != nil {
		return err
	}
	if err := d.show(ctx, addrs[0], 80); err != nil {
		return err
	}
	answer, err := d.get(ctx, addrs[0], 80)
	if err != nil {
		return err
	}
	if want := d.lab.Client(1).V4().String(); !strings.HasPrefix(harness.Field(answer, "client"), want+":") {
		return fmt.Errorf("the pod saw %s, not the client's %s", harness.Field(answer, "client"), want)
	}
	return nil
}

func (d *demo) affinity(ctx context.Context) error {
	if err := harness.Apply(ctx, d.lab, harness.Service("sticky", "web", "sessionAffinity: ClientIP", 80)); err != nil {
		return err
	}
	addrs, err := d.addresses(ctx, "sticky", 1)
	if err != nil {
		return err
	}
	if err := d.show(ctx, addrs[0], 80); err != nil {
		return err
	}
	pods := map[string]bool{}
	for range 20 {
		answer, err := d.get(ctx, addrs[0], 80)
		if err != nil {
			return err
		}
		pods[harness.Field(answer, "pod")] = true
	}
	d.out.say("20 more requests were answered by %d pod", len(pods))
	if len(pods) != 1 {
		return errors.New("session affinity does not hold")
	}
	return nil
}

// powerCut measures the address and not the pods: they are moved to the nodes that stay before the power goes.
func (d *demo) powerCut(ctx context.Context) error {
	manifest := harness.Web("steady", 2) + "---\n" + harness.Service("steady", "steady", "", 80)
	if err := harness.Apply(ctx, d.lab, manifest); err != nil {
		return err
	}
	addrs, err := d.addresses(ctx, "steady", 1)
	if err != nil {
		return err
	}
	node, err := d.announcer(ctx, addrs[0])
	if err != nil {
		return err
	}
	name := fmt.Sprintf("n%d", node)
	d.out.say("%s is announced by %s; its pods move to the other nodes", addrs[0], name)
	if err := harness.Apply(ctx, d.lab, harness.WebElsewhere("steady", name)); err != nil {
		return err
	}
	if err := harness.AwaitDeployment(ctx, d.lab, "default", "steady"); err != nil {
		return err
	}
	if err := harness.AwaitNoEndpointOn(ctx, d.k, "default", "steady", name); err != nil {
		return err
	}
	return d.cut(ctx, addrs[0], node)
}

// cut cuts the node's power and tells for how long no new connection succeeded.
func (d *demo) cut(ctx context.Context, a netip.Addr, node int) error {
	d.out.say("a client on the LAN opens a new connection to %s every 10 ms", a)
	probe := harness.StartProbe(ctx, d.lab.Client(1), netip.AddrPortFrom(a, 80))
	defer probe.Stop()
	if err := probe.AwaitSuccesses(ctx, 50); err != nil {
		return err
	}
	d.out.say("power of n%d is cut", node)
	cut := time.Now()
	if err := d.lab.KillNode(ctx, node); err != nil {
		return err
	}
	silence, err := probe.AwaitSilence(ctx, cut, 50)
	if err != nil {
		return err
	}
	owner, err := d.announcerBut(ctx, a, node)
	if err != nil {
		return err
	}
	d.out.say("%s was silent for %.2f s; now n%d announces it", a, silence.Lasted.Seconds(), owner)
	d.out.say("(what n%d wrote last stays until it is back; its Pod is no longer Ready)", node)
	return d.kubectl(ctx, "get", "speakerstatuses")
}

func (d *demo) announcer(ctx context.Context, a netip.Addr) (int, error) {
	return d.announcerBut(ctx, a, 0)
}

// announcerBut waits until one node other than the dead one says that it announces the address. The status of a dead node
// stays as it was.
func (d *demo) announcerBut(ctx context.Context, a netip.Addr, dead int) (node int, err error) {
	err = harness.Eventually(ctx, "an announcer of "+a.String(), func(ctx context.Context) error {
		owners, err := harness.Owners(ctx, d.k, a)
		owners = slices.DeleteFunc(owners, func(n string) bool { return n == fmt.Sprintf("n%d", dead) })
		if err == nil && len(owners) != 1 {
			err = fmt.Errorf("announced by %v", owners)
		}
		if err == nil {
			node, err = d.lab.NodeByName(owners[0])
		}
		return err
	})
	return node, err
}

// addresses waits until the Service has n addresses.
func (d *demo) addresses(ctx context.Context, service string, n int) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return harness.AwaitAddresses(ctx, d.k, types.NamespacedName{Namespace: corev1.NamespaceDefault, Name: service}, n)
}

// get fetches the page from the host on the LAN.
func (d *demo) get(ctx context.Context, a netip.Addr, port int) (string, error) {
	return harness.Get(ctx, d.lab.Client(1), netip.AddrPortFrom(a, uint16(port)))
}

// show fetches the page, waiting for the address to be announced, and prints it.
func (d *demo) show(ctx context.Context, a netip.Addr, port int) error {
	return harness.Eventually(ctx, a.String(), func(ctx context.Context) error {
		answer, err := d.get(ctx, a, port)
		if err == nil {
			d.out.say("$ curl http://%s\n%s", netip.AddrPortFrom(a, uint16(port)), answer)
		}
		return err
	})
}

// kubectl runs a command and shows it with its output.
func (d *demo) kubectl(ctx context.Context, args ...string) error {
	out, err := harness.Kubectl(ctx, d.lab, nil, args...)
	d.out.say("$ kubectl %s\n%s", strings.Join(args, " "), out)
	return err
}
