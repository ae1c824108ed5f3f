package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/belfry-lb/belfry/e2e/cluster"
	"github.com/belfry-lb/belfry/e2e/harness"
)

const dualStack = "ipFamilyPolicy: RequireDualStack"

func TestExposeDeployment(t *testing.T) {
	s := newScene(t)
	s.Kubectl("expose", "deployment", "web", "--name", "exposed", "--type", "LoadBalancer", "--port", "80", "--target-port", "8080")
	s.Cleanup(func() {
		_, err := harness.Kubectl(context.Background(), lab, nil, "delete", "service", "exposed")
		s.Must(err)
	})
	a := s.Addresses("exposed", 1)[0]
	s.answer(a, 80)
	if out := s.Kubectl("get", "svc", "exposed"); !strings.Contains(out, a.String()) {
		t.Errorf("EXTERNAL-IP is not %s:\n%s", a, out)
	}
	s.ownerAnswers(a)
}

func TestDualStackReachesSeveralPods(t *testing.T) {
	s := newScene(t)
	for _, a := range s.service(2, "dual", "web", dualStack, 80) {
		pods := map[string]bool{}
		s.Eventually("answers of three pods at "+a.String(), func() error {
			answer, err := s.get(lab.Client(1), a, 80)
			pods[harness.Field(answer, "pod")] = err == nil
			if delete(pods, ""); len(pods) < 3 {
				return errors.Join(err, fmt.Errorf("%d pods have answered", len(pods)))
			}
			return nil
		})
		s.ownerAnswers(a)
	}
}

func TestSingleStackIPv6(t *testing.T) {
	s := newScene(t)
	a := s.service(1, "six", "web", "ipFamilies: [IPv6]", 80)[0]
	if !a.Is6() {
		t.Fatalf("%s is no IPv6 address", a)
	}
	s.answer(a, 80)
}

func TestSeveralPortsAndTheirChange(t *testing.T) {
	s := newScene(t)
	addrs := s.service(2, "ports", "web", dualStack, 80, 8081)
	for _, a := range addrs {
		s.answer(a, 80)
		if got := harness.Field(s.answer(a, 8081), "port"); got != "8081" {
			t.Errorf("port 8081 leads to %s", got)
		}
	}
	// The second port gets another number, and finds its container port by name.
	s.Kubectl("patch", "service", "ports", "--type=json", "-p", `[{"op":"replace","path":"/spec/ports/1","value":{"name":"renamed","port":90,"targetPort":"second"}}]`)
	for _, a := range addrs {
		if got := harness.Field(s.answer(a, 90), "port"); got != "8081" {
			t.Errorf("the container port named second is %s", got)
		}
		s.Eventually("port 8081 to close", func() error { return mustFail(s.get(lab.Client(1), a, 8081)) })
	}
	if got := s.Addresses("ports", 2); !slices.Equal(got, addrs) {
		t.Errorf("the addresses changed from %v to %v with a port", addrs, got)
	}
}

func TestTCPAndUDPOnOnePort(t *testing.T) {
	s := newScene(t)
	s.Apply(`apiVersion: v1
kind: Service
metadata: {name: both}
spec:
  type: LoadBalancer
  ` + dualStack + `
  selector: {app: web}
  ports:
    - {name: tcp, port: 53, targetPort: 8080, protocol: TCP}
    - {name: udp, port: 53, targetPort: 9000, protocol: UDP}
`)
	for _, a := range s.Addresses("both", 2) {
		s.answer(a, 53)
		s.Eventually("UDP answer of "+a.String(), func() error { return askUDP(s.Ctx, lab.Client(1), netip.AddrPortFrom(a, 53)) })
	}
}

// askUDP sends a datagram and wants one back.
func askUDP(ctx context.Context, from *cluster.Host, to netip.AddrPort) error {
	conn, err := from.Dial(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("hello")); err != nil {
		return err
	}
	b := make([]byte, 1500)
	n, err := conn.Read(b)
	if err == nil && harness.Field(string(b[:n]), "pod") == "" {
		err = fmt.Errorf("the answer is %q", b[:n])
	}
	return err
}

func TestLocalKeepsTheClientsAddress(t *testing.T) {
	s := newScene(t)
	s.Apply(harness.Web("one", 1))
	s.Must(harness.AwaitDeployment(s.Ctx, lab, "default", "one"))
	client := lab.Client(1)
	for _, a := range s.service(2, "local", "one", dualStack+"\nexternalTrafficPolicy: Local", 80) {
		answer := s.answer(a, 80)
		want := client.V4()
		if a.Is6() {
			want = client.V6()
		}
		if host, _, err := net.SplitHostPort(harness.Field(answer, "client")); err != nil || host != want.String() {
			t.Errorf("the pod saw %q, want %s", harness.Field(answer, "client"), want)
		}
		if owner := fmt.Sprintf("n%d", s.Owner(a)); harness.Field(answer, "node") != owner {
			t.Errorf("announced by %s, but the pod is on %s", owner, harness.Field(answer, "node"))
		}
	}
}

func TestSessionAffinity(t *testing.T) {
	s := newScene(t)
	for _, a := range s.service(2, "sticky", "web", dualStack+"\nsessionAffinity: ClientIP", 80) {
		s.AnnouncedByOwner("sticky", a) // until then the client may send to who had the address before
		first := harness.Field(s.answer(a, 80), "pod")
		for range 20 {
			answer, err := s.get(lab.Client(1), a, 80)
			s.Must(err)
			if got := harness.Field(answer, "pod"); got != first {
				t.Fatalf("%s is answered by %s, before by %s", a, got, first)
			}
		}
	}
}

func TestSourceRanges(t *testing.T) {
	s := newScene(t)
	allowed, refused := lab.Client(1), lab.Client(2)
	ranges := fmt.Sprintf("%s\nloadBalancerSourceRanges: [%s/32, %s/128]", dualStack, allowed.V4(), allowed.V6())
	for _, a := range s.service(2, "ranges", "web", ranges, 80) {
		s.AnnouncedByOwner("ranges", a)
		s.answer(a, 80)
		// The address may have been another Service's a moment ago, whose rules kube-proxy is about to replace.
		s.Eventually("the other client to be shut out", func() error { return mustFail(s.get(refused, a, 80)) })
		for range 3 {
			s.Must(mustFail(s.get(refused, a, 80)))
		}
		_, err := s.get(allowed, a, 80)
		s.Must(err)
	}
}

func TestFromPodsOfTheCluster(t *testing.T) {
	for _, policy := range []string{"Cluster", "Local"} {
		t.Run(policy, func(t *testing.T) {
			s := newScene(t)
			name := "inside-" + strings.ToLower(policy)
			for _, a := range s.service(2, name, "web", dualStack+"\nexternalTrafficPolicy: "+policy, 80) {
				for pod := range strings.FieldsSeq(s.Kubectl("get", "pods", "-l", "app=web", "-o", "name")) {
					s.Eventually(a.String()+" from "+pod, func() error {
						_, err := harness.Kubectl(s.Ctx, lab, nil, "exec", pod, "--", "/web", "get", "http://"+netip.AddrPortFrom(a, 80).String()+"/")
						return err
					})
				}
			}
		})
	}
}

// mustFail turns success into an error.
func mustFail(answer string, err error) error {
	if err == nil {
		return fmt.Errorf("it answers: %s", answer)
	}
	return nil
}

func containsAll(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
