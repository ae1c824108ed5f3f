package alloc

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

// epoch is when the tests' clusters began.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newPool makes a pool that assigns automatically.
func newPool(t testing.TB, name string, ranges ...string) spec.Pool {
	t.Helper()
	p := spec.Pool{Name: name, Created: epoch, AutoAssign: true}
	for _, s := range ranges {
		r, err := spec.ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		p.Ranges = append(p.Ranges, r)
	}
	p.Ranges = spec.Merge(p.Ranges)
	return p
}

// option changes a Service under construction.
type option func(*spec.Service)

// svc makes a SingleStack IPv4 Service default/name, created at the epoch, with uid u-name.
func svc(name string, options ...option) spec.Service {
	s := spec.Service{
		Key: types.NamespacedName{Namespace: "default", Name: name}, UID: types.UID("u-" + name),
		Created: epoch, Families: []spec.Family{spec.IPv4},
	}
	for _, o := range options {
		o(&s)
	}
	return s
}

func uid(u string) option { return func(s *spec.Service) { s.UID = types.UID(u) } }

func created(second int) option {
	return func(s *spec.Service) { s.Created = epoch.Add(time.Duration(second) * time.Second) }
}

func policy(p spec.DualStack, families ...spec.Family) option {
	return func(s *spec.Service) { s.Policy, s.Families = p, families }
}

// holds puts addresses into the status, "192.0.2.1" or, marked with a pool, "192.0.2.1@a".
func holds(addrs ...string) option {
	return func(s *spec.Service) {
		for _, a := range addrs {
			addr, from, marked := strings.Cut(a, "@")
			s.Held = append(s.Held, netip.MustParseAddr(addr))
			if marked {
				s.Pools = append(s.Pools, from)
			}
		}
	}
}

func since(second int) option {
	return func(s *spec.Service) { s.HeldSince = epoch.Add(time.Duration(second) * time.Second) }
}

// shows returns the Service as it looks once the verdict is written to it.
func shows(s spec.Service, v Verdict) spec.Service {
	s.Held, s.Pools = nil, nil
	for _, a := range v.Addresses {
		s.Held = append(s.Held, a.Addr)
		s.Pools = append(s.Pools, a.Pool)
	}
	return s
}

// brief is the addresses of a verdict, "192.0.2.1@a 2001:db8::1@a".
func brief(v Verdict) string {
	var out []string
	for _, a := range v.Addresses {
		out = append(out, a.Addr.String()+"@"+a.Pool)
	}
	return strings.Join(out, " ")
}

// sameAddr lets cmp look at addresses as values.
func sameAddr(a, b netip.Addr) bool { return a == b }
