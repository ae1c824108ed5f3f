// Package discard refuses packets to addresses and ports that are announced and that nobody serves.
//
// A router sends a node every packet for a prefix that the node announces. Packets to a port of a Service are rewritten by
// kube-proxy before they are routed. The others are not, and the node's default route leads back to the router, which sends
// them again, until their TTL ends. Policy rules refuse them instead, with an ICMP message:
//
//	30790: from all iif lo goto 30792            the node's own connections: routed before they are rewritten
//	30791: from all to 203.0.113.0/24 unreachable
//	30792: from all nop
//
// Rules are kept in the kernel only. Whoever starts anew finds them there.
package discard

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The priorities of the rules, which nobody else should use. Those of the kernel are 0, for local addresses, and 32766.
const (
	PriorityOwn    = 30790
	PriorityRefuse = 30791
	PriorityEnd    = 30792
)

// actionNop is FR_ACT_NOP of linux/fib_rules.h.
const actionNop = 3

// Running is what the kernel refuses.
type Running struct {
	Prefixes []netip.Prefix
	// Withheld are those desired that are not refused, and why.
	Withheld map[netip.Prefix]string
}

// kernel is the part of netlink that is needed.
type kernel interface {
	RuleList(family int) ([]netlink.Rule, error)
	RuleAdd(*netlink.Rule) error
	RuleDel(*netlink.Rule) error
	AddrList(link netlink.Link, family int) ([]netlink.Addr, error)
}

var _ kernel = (*netlink.Handle)(nil)

// Rules are the node's. They are for one goroutine.
type Rules struct{ kernel kernel }

// New returns the rules of the network namespace that the handle speaks to.
func New(h *netlink.Handle) *Rules { return &Rules{h} }

// Apply makes the kernel refuse packets from outside to the prefixes, and to no others. It needs NET_ADMIN if anything is to
// change. It returns what is refused even if something failed.
func (r *Rules) Apply(desired []netip.Prefix) (Running, error) {
	running := Running{Withheld: map[netip.Prefix]string{}}
	var errs []error
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		want, err := r.allowed(family, desired, running.Withheld)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		have, err := r.apply(family, want)
		running.Prefixes = append(running.Prefixes, have...)
		if err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(running.Prefixes, netip.Prefix.Compare)
	return running, errors.Join(errs...)
}

// allowed leaves out the prefixes that hold an address of this node: those after it are neighbours', not Services'.
func (r *Rules) allowed(family int, desired []netip.Prefix, withheld map[netip.Prefix]string) (map[netip.Prefix]bool, error) {
	want := map[netip.Prefix]bool{}
	for _, p := range desired {
		if p.Addr().Is4() == (family == unix.AF_INET) {
			want[p] = true
		}
	}
	if len(want) == 0 {
		return want, nil
	}
	addrs, err := r.kernel.AddrList(nil, family)
	if err != nil {
		return nil, fmt.Errorf("listing this node's addresses: %w", err)
	}
	for p := range want {
		for _, a := range addrs {
			if own, ok := netip.AddrFromSlice(a.IP); ok && p.Contains(own.Unmap()) && !p.IsSingleIP() {
				withheld[p] = fmt.Sprintf("%s is this node's own address", own.Unmap())
				delete(want, p)
			}
		}
	}
	return want, nil
}

// apply brings one family's rules to what is wanted and returns what is there then.
func (r *Rules) apply(family int, want map[netip.Prefix]bool) ([]netip.Prefix, error) {
	rules, err := r.kernel.RuleList(family)
	if err != nil {
		return nil, fmt.Errorf("listing the policy rules: %w", err)
	}
	there := map[netip.Prefix]bool{}
	frame := map[int]bool{}
	for i := range rules {
		switch rules[i].Priority {
		case PriorityRefuse:
			there[prefix(rules[i].Dst)] = true
		case PriorityOwn, PriorityEnd:
			frame[rules[i].Priority] = true
		}
	}
	var errs []error
	if len(want) > 0 {
		errs = append(errs, r.frame(family, frame))
	}
	if errors.Join(errs...) == nil { // never without the way past them
		for p := range want {
			if !there[p] {
				errs = append(errs, r.change(r.kernel.RuleAdd, refuse(family, p), there, true))
			}
		}
	}
	for p := range maps.Clone(there) {
		if !want[p] {
			errs = append(errs, r.change(r.kernel.RuleDel, refuse(family, p), there, false))
		}
	}
	if len(there) == 0 {
		errs = append(errs, r.unframe(family, frame))
	}
	return slices.Collect(maps.Keys(there)), errors.Join(errs...)
}

func (r *Rules) change(do func(*netlink.Rule) error, rule *netlink.Rule, there map[netip.Prefix]bool, now bool) error {
	if err := do(rule); err != nil {
		return fmt.Errorf("changing the rule for %s: %w", prefix(rule.Dst), explain(err))
	}
	if now {
		there[prefix(rule.Dst)] = true
	} else {
		delete(there, prefix(rule.Dst))
	}
	return nil
}

// frame adds the way past the rules, its end first.
func (r *Rules) frame(family int, there map[int]bool) error {
	for _, rule := range []*netlink.Rule{end(family), own(family)} {
		if there[rule.Priority] {
			continue
		}
		if err := r.kernel.RuleAdd(rule); err != nil {
			return fmt.Errorf("adding rule %d: %w", rule.Priority, explain(err))
		}
		there[rule.Priority] = true
	}
	return nil
}

func (r *Rules) unframe(family int, there map[int]bool) error {
	var errs []error
	for _, rule := range []*netlink.Rule{own(family), end(family)} {
		if !there[rule.Priority] {
			continue
		}
		if err := r.kernel.RuleDel(rule); err != nil {
			errs = append(errs, fmt.Errorf("deleting rule %d: %w", rule.Priority, explain(err)))
		}
	}
	return errors.Join(errs...)
}

func explain(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("the speaker needs the capability NET_ADMIN: %w", err)
	}
	return err
}

func rule(family, priority int) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority = family, priority
	return r
}

func own(family int) *netlink.Rule {
	r := rule(family, PriorityOwn)
	r.IifName, r.Goto = "lo", PriorityEnd
	return r
}

func refuse(family int, p netip.Prefix) *netlink.Rule {
	r := rule(family, PriorityRefuse)
	r.Dst = &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
	r.Type = unix.RTN_UNREACHABLE
	return r
}

func end(family int) *netlink.Rule {
	r := rule(family, PriorityEnd)
	r.Type = actionNop
	return r
}

func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}
