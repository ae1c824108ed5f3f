// Package selftest proves on a running cluster that a Service gets an address and that a speaker announces it. It makes a
// Service of its own, watches what becomes of it and deletes it. It judges nothing that it cannot see through the API
// server: whether packets arrive is for somebody on the network to try.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// look is how often the Service and the speakers are looked at.
const look = 200 * time.Millisecond

// Options say for whom the Service is made.
type Options struct {
	// Namespace of the Service.
	Namespace string
	// Selector chooses the Pods behind the Service; at least one must be ready, or nothing would be announced.
	Selector map[string]string
	// Class is the spec.loadBalancerClass; empty: none.
	Class string
	// Owner is the Pod that makes the Service: with it the Service goes, come what may. Without a UID there is none.
	Owner metav1.OwnerReference
	// Wait bounds the whole test.
	Wait time.Duration
}

// Run makes a Service, waits until it has an address and each of its addresses is announced, and deletes it. What it sees
// it writes to out, a line each. The error says what was still lacking, in the words of the Service's own conditions.
func Run(ctx context.Context, c client.Client, out io.Writer, o Options) (err error) {
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	s := service(o)
	if err := c.Create(ctx, s); err != nil {
		return fmt.Errorf("making a Service in %s: %w", o.Namespace, err)
	}
	defer func() {
		gone, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer stop()
		err = errors.Join(err, client.IgnoreNotFound(c.Delete(gone, s)))
	}()
	fmt.Fprintf(out, "Service %s/%s is made\n", s.Namespace, s.Name)
	addresses, err := addressesOf(ctx, c, s)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "it has %s from %s\n", join(addresses), s.Annotations[v1beta1.AnnotationAllocatedFrom])
	for _, a := range addresses {
		by, err := announcersOf(ctx, c, s, a)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is announced by %s\n", a, strings.Join(by, ", "))
	}
	return nil
}

func service(o Options) *corev1.Service {
	no, prefer := false, corev1.IPFamilyPolicyPreferDualStack
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, GenerateName: "belfry-selftest-"},
		Spec: corev1.ServiceSpec{
			Type:                          corev1.ServiceTypeLoadBalancer,
			Selector:                      o.Selector,
			AllocateLoadBalancerNodePorts: &no,
			IPFamilyPolicy:                &prefer,
			Ports:                         []corev1.ServicePort{{Name: "discard", Port: 9}},
		},
	}
	if o.Class != "" {
		s.Spec.LoadBalancerClass = &o.Class
	}
	if o.Owner.UID != "" {
		s.OwnerReferences = []metav1.OwnerReference{o.Owner}
	}
	return s
}

// addressesOf waits until the controller says that the Service has what it asked for.
func addressesOf(ctx context.Context, c client.Client, s *corev1.Service) (addresses []netip.Addr, err error) {
	err = until(ctx, func() error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
			return err
		}
		addresses = spec.ParseService(s).Held
		allocated := condition(s, v1beta1.ConditionAllocated)
		switch {
		case allocated == nil:
			return errors.New("it has no address: no controller has looked at it. Is one running, and is the Service of its class?")
		case allocated.Status != metav1.ConditionTrue || len(addresses) == 0:
			return fmt.Errorf("it has no address: %s: %s", allocated.Reason, allocated.Message)
		}
		return nil
	})
	return addresses, err
}

// announcersOf waits until a speaker says that it announces the address, and returns the names of the nodes.
func announcersOf(ctx context.Context, c client.Client, s *corev1.Service, a netip.Addr) (nodes []string, err error) {
	err = until(ctx, func() error {
		var list v1beta1.SpeakerStatusList
		if err := c.List(ctx, &list); err != nil {
			return err
		}
		nodes = nil
		shortened := false
		for _, status := range list.Items {
			if announces(&status, a) {
				nodes = append(nodes, status.Name)
			}
			shortened = shortened || status.Status.Omitted.L2Addresses > 0
		}
		// A status may be of a node that has gone; the controller knows which ones count.
		by := byController(ctx, c, s)
		if len(nodes) == 0 && (by == "BGP" || shortened) {
			nodes = []string{by} // routers are told of it, or speakers have too many addresses to name them all
		}
		if len(nodes) == 0 || by == "" {
			return fmt.Errorf("nobody announces %s: %s", a, why(ctx, c, s, len(list.Items)))
		}
		return nil
	})
	return nodes, err
}

// byController returns who announces the Service in the controller's words, "" while nobody does.
func byController(ctx context.Context, c client.Client, s *corev1.Service) string {
	if err := c.Get(ctx, client.ObjectKeyFromObject(s), s); err != nil {
		return ""
	}
	announced := condition(s, v1beta1.ConditionAnnounced)
	if announced == nil || announced.Status != metav1.ConditionTrue {
		return ""
	}
	return strings.TrimPrefix(announced.Message, "by ")
}

func announces(s *v1beta1.SpeakerStatus, a netip.Addr) bool {
	return slices.ContainsFunc(s.Status.L2.Addresses, func(text string) bool {
		r, err := spec.ParseRange(text)
		return err == nil && r.Contains(a)
	})
}

// why says what keeps an address from being announced, as far as the Service tells.
func why(ctx context.Context, c client.Client, s *corev1.Service, speakers int) string {
	if speakers == 0 {
		return "no speaker has reported; look at the Pods of the DaemonSet"
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(s), s); err == nil {
		for _, held := range s.Status.Conditions {
			if held.Type != v1beta1.ConditionAllocated && held.Message != "" {
				return held.Reason + ": " + held.Message
			}
		}
	}
	return fmt.Sprintf("%d speakers run. Does an advertisement select the pool, and does a node have a network that holds the address?", speakers)
}

func condition(s *corev1.Service, kind string) *metav1.Condition {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == kind {
			return &s.Status.Conditions[i]
		}
	}
	return nil
}

// until looks again and again until there is nothing left to complain about; when time is up, it returns the last complaint.
func until(ctx context.Context, complain func() error) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for last := error(nil); ; {
		now := complain()
		if now == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // the end of time is no complaint
			last = now
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}

func join(addresses []netip.Addr) string {
	var all []string
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, " and ")
}
