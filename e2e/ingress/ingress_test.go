package ingress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// scene is one test: a context that ends, and the address of the Ingress controller.
type scene struct {
	*testing.T
	ctx     context.Context
	address netip.Addr
}

func newScene(t *testing.T) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errors.New("patience is over"))
	t.Cleanup(cancel)
	addrs, err := harness.AwaitAddresses(ctx, k8s, types.NamespacedName{Namespace: "default", Name: "traefik"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{t, ctx, addrs[0]}
}

func (s *scene) eventually(what string, check func(context.Context) error) {
	s.Helper()
	if err := harness.Eventually(s.ctx, what, check); err != nil {
		s.Fatal(err)
	}
}

// get fetches the first line of a page from the client on the LAN.
func (s *scene) get(host, path string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address.String()+path, nil)
	if err != nil {
		return "", err
	}
	r.Host, r.Close = host, true
	answer, err := lab.Client(1).HTTPClient().Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s", host, path, answer.Status)
	}
	return line, err
}

// served waits until pages have come n times in a row.
func (s *scene) served(n int) {
	s.Helper()
	s.eventually("pages", func(context.Context) error {
		for range n {
			for _, host := range []string{"first.example", "second.example"} {
				if _, err := s.get(host, "/"); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// announcer waits until one running node announces the address, and returns its number.
func (s *scene) announcer() (node int) {
	s.Helper()
	s.eventually("one announcer", func(ctx context.Context) error {
		owners, err := harness.Owners(ctx, k8s, s.address)
		if err != nil {
			return err
		}
		var running []int
		for _, o := range owners {
			if n, err := lab.NodeByName(o); err == nil && lab.Running(n) {
				running = append(running, n)
			}
		}
		if len(running) != 1 {
			return fmt.Errorf("announced by %v", owners)
		}
		node = running[0]
		return nil
	})
	return node
}

func TestRoutesByHostAndByPath(t *testing.T) {
	s := newScene(t)
	for _, tt := range []struct{ host, path, app string }{
		{"first.example", "/", "first"}, {"second.example", "/", "second"},
		{"both.example", "/", "first"}, {"both.example", "/stream", "second"},
	} {
		s.eventually(tt.host+tt.path, func(context.Context) error {
			page, err := s.get(tt.host, tt.path)
			if err == nil && !strings.HasPrefix(harness.Field(page, "pod"), tt.app+"-") {
				err = fmt.Errorf("answered %q", page)
			}
			return err
		})
	}
	if page, err := s.get("other.example", "/"); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("a host without a route: %q, %v", page, err)
	}
}

func TestIngressShowsOurAddress(t *testing.T) {
	s := newScene(t)
	s.eventually("the address in the Ingress", func(ctx context.Context) error {
		var i networkingv1.Ingress
		if err := k8s.Get(ctx, client.ObjectKey{Namespace: "default", Name: "pages"}, &i); err != nil {
			return err
		}
		if in := i.Status.LoadBalancer.Ingress; len(in) != 1 || in[0].IP != s.address.String() {
			return fmt.Errorf("it has %+v, want %s", in, s.address)
		}
		return nil
	})
}

// With externalTrafficPolicy Local a backend learns who asks, and the node that announces is one that runs the controller.
func TestClientsOwnAddress(t *testing.T) {
	s := newScene(t)
	s.served(1)
	page, err := s.get("first.example", "/")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := harness.Field(page, "forwarded"), lab.Client(1).V4().String(); got != want {
		t.Errorf("the backend was told of client %q, want %s; it said %q", got, want, page)
	}
	node := fmt.Sprintf("n%d", s.announcer())
	if on := nodesOf(s); !on[node] {
		t.Errorf("%s announces, the controller runs on %v", node, on)
	}
}

// nodesOf returns the nodes with a ready Pod of the Ingress controller.
func nodesOf(s *scene) map[string]bool {
	s.Helper()
	var pods corev1.PodList
	if err := k8s.List(s.ctx, &pods, client.InNamespace("default"), client.MatchingLabels{"app": "traefik"}); err != nil {
		s.Fatal(err)
	}
	on := map[string]bool{}
	for _, p := range pods.Items {
		if p.DeletionTimestamp == nil && len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].Ready {
			on[p.Spec.NodeName] = true
		}
	}
	return on
}

func TestIngressControllerKilled(t *testing.T) {
	s := newScene(t)
	s.served(1)
	node := fmt.Sprintf("n%d", s.announcer())
	if _, err := harness.Kubectl(s.ctx, lab, nil, "delete", "pods", "-l", "app=traefik", "--field-selector", "spec.nodeName="+node, "--grace-period=0", "--force"); err != nil {
		t.Fatal(err)
	}
	s.served(20)
	if addrs, err := harness.AwaitAddresses(s.ctx, k8s, types.NamespacedName{Namespace: "default", Name: "traefik"}, 1); err != nil || addrs[0] != s.address {
		t.Errorf("the address became %v, %v", addrs, err)
	}
	if err := harness.AwaitDeployment(s.ctx, lab, "default", "traefik"); err != nil {
		t.Fatal(err)
	}
}

func TestPowerCutBehindTheIngress(t *testing.T) {
	s := newScene(t)
	s.served(1)
	node := s.announcer()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := lab.StartNode(ctx, node); err != nil {
			t.Error(err)
		}
	})
	cut := time.Now()
	if err := lab.KillNode(s.ctx, node); err != nil {
		t.Fatal(err)
	}
	s.served(1)
	first := time.Since(cut)
	s.served(20)
	if next := s.announcer(); next == node {
		t.Errorf("n%d still announces", node)
	}
	t.Logf("the first pages of both backends came %d ms after the cut, 20 in a row after %d ms", first.Milliseconds(), time.Since(cut).Milliseconds())
}
