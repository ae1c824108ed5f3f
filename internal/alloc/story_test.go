package alloc

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

var update = flag.Bool("update", false, "write the stories' answers anew")

// TestStories plays the transcripts in testdata: a line is a command, the indented lines below it are the answer.
//
//	pools a=192.0.2.0/30,2001:db8::/126 b!=…   all pools there are; != does not assign automatically; with rules:
//	      a=…;exclude=192.0.2.1;avoid;disabled;priority=1;ns=x,y;nslabel=team=red;label=app=web;cooldown=60s;max=2;sharing=same
//	forbid 192.0.2.1=words_that_say_what …
//	claim a [created=5 uid=x families=46 policy=require held=192.0.2.1@a,… since=3 gone pool=a ips=192.0.2.1 key=k
//	         ports=TCP/80 local=true reservation=r reallocate=x reallocated=x label=app=web nslabel=team=red bad=word] [+ x/b …]
//	                                           options are remembered; + claims several at once; x/b is in namespace x
//	reserve r [pool=a ips=… families=46 for=a held=… since=3 label= nslabel=]
//	write a b                                  what was decided now stands in their statuses
//	release a · unreserve r · pending · displaced · usage a · verdict a · holder 192.0.2.1
//	time 60 · wake · freed a · recall          recall: what freed said last is known again
//	restart                                    the table is empty again
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := newStory(t).play(string(text))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(strings.Split(string(text), "\n"), strings.Split(got, "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}

type story struct {
	t        *testing.T
	table    *Table
	pools    []spec.Pool
	services map[string]spec.Service
	last     map[string]Verdict
	reserved map[string]spec.Reservation
	freed    map[string][]Freed
	clock    int
	now      time.Time
}

func newStory(t *testing.T) *story {
	return &story{
		t: t, table: New(), now: epoch, services: map[string]spec.Service{}, last: map[string]Verdict{}, reserved: map[string]spec.Reservation{}, freed: map[string][]Freed{},
	}
}

func (y *story) play(text string) string {
	var out []string
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out = append(out, line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			for _, answer := range y.do(words[0], words[1:]) {
				out = append(out, "  "+answer)
			}
		}
	}
	return strings.Join(out, "\n") + "\n"
}

func (y *story) do(command string, args []string) []string {
	y.clock++
	switch command {
	case "pools":
		y.pools = nil
		for _, a := range args {
			y.pools = append(y.pools, y.pool(a))
		}
		y.table.SetPools(y.pools)
	case "claim":
		return y.claim(strings.Split(strings.Join(args, " "), " + "))
	case "write":
		for _, n := range args {
			s := shows(y.services[n], y.last[n])
			s.Reallocated = y.last[n].Reallocated
			if y.last[n].Allocated && s.HeldSince.IsZero() {
				since(y.clock)(&s)
			}
			y.services[n] = s
		}
	case "release":
		delete(y.services, args[0])
		return []string{fmt.Sprint(brief(Verdict{Addresses: y.table.Release(keyOf(args[0]))}))}
	case "pending":
		return []string{fmt.Sprint(y.table.Pending())}
	case "displaced":
		return []string{fmt.Sprint(y.table.TakeDisplaced())}
	case "usage":
		return []string{fmt.Sprintf("%+v", y.table.Usage(args[0]))}
	case "verdict":
		v, _ := y.table.Verdict(keyOf(args[0]))
		return []string{said(v)}
	case "holder":
		k, ok := y.table.Holder(netip.MustParseAddr(args[0]))
		return []string{fmt.Sprint(k, " ", ok)}
	case "restart":
		y.table = New()
		y.table.SetTime(y.now)
		y.table.SetPools(y.pools)
	case "forbid":
		var all []Forbidden
		for _, a := range args {
			addr, what, _ := strings.Cut(a, "=")
			all = append(all, Forbidden{newPool(y.t, "", addr).Ranges[0], strings.ReplaceAll(what, "_", " ")})
		}
		y.table.SetForbidden(all)
	case "reserve":
		return []string{said(y.table.Reserve(y.reservation(args[0], args[1:])))}
	case "unreserve":
		delete(y.reserved, args[0])
		return []string{brief(Verdict{Addresses: y.table.Unreserve(keyOf(args[0]))})}
	case "time":
		n, _ := strconv.Atoi(args[0])
		y.now = epoch.Add(time.Duration(n) * time.Second)
		y.table.SetTime(y.now)
	case "wake":
		at, ok := y.table.Wake()
		return []string{fmt.Sprint(at.Sub(epoch), " ", ok)}
	case "freed":
		y.freed[args[0]] = y.table.Freed(args[0])
		var out []string
		for _, f := range y.freed[args[0]] {
			out = append(out, fmt.Sprintf("%s at %s", f.Addr, f.At.Sub(epoch)))
		}
		return out
	case "recall":
		for pool, freed := range y.freed {
			y.table.Recall(pool, freed)
		}
	default:
		y.t.Fatalf("no such command: %s", command)
	}
	return nil
}

func keyOf(name string) types.NamespacedName {
	if space, rest, ok := strings.Cut(name, "/"); ok {
		return types.NamespacedName{Namespace: space, Name: rest}
	}
	return types.NamespacedName{Namespace: "default", Name: name}
}

func nameOf(k types.NamespacedName) string { return strings.TrimPrefix(k.String(), "default/") }

func (y *story) pool(arg string) spec.Pool {
	arg, rules, _ := strings.Cut(arg, ";")
	name, list, _ := strings.Cut(arg, "=")
	name, manual := strings.CutSuffix(name, "!")
	p := newPool(y.t, name, strings.Split(list, ",")...)
	p.AutoAssign = !manual
	for rule := range strings.SplitSeq(rules, ";") {
		if rule != "" {
			y.rule(&p, rule)
		}
	}
	return p
}

func (y *story) rule(p *spec.Pool, rule string) {
	k, v, _ := strings.Cut(rule, "=")
	n, _ := strconv.Atoi(v)
	switch k {
	case "exclude":
		p.Exclude = newPool(y.t, "", strings.Split(v, ",")...).Ranges
	case "avoid":
		p.AvoidBuggyIPs = true
	case "disabled":
		p.Disabled = true
	case "priority":
		p.Priority = n
	case "max":
		p.MaxPerNamespace = n
	case "ns":
		p.Allowed.Namespaces = strings.Split(v, ",")
	case "nslabel":
		p.Allowed.Selectors = append(p.Allowed.Selectors, y.selector(v))
	case "label":
		p.Allowed.Services = append(p.Allowed.Services, y.selector(v))
	case "cooldown":
		d, err := time.ParseDuration(v)
		if err != nil {
			y.t.Fatal(err)
		}
		p.ReuseCooldown = d
	case "sharing":
		p.Sharing = map[string]spec.Sharing{"same": spec.SharingSameNamespace, "none": spec.SharingNone}[v]
	default:
		y.t.Fatalf("no such rule: %s", rule)
	}
}

func (y *story) selector(v string) labels.Selector {
	s, err := labels.Parse(v)
	if err != nil {
		y.t.Fatal(err)
	}
	return s
}

func (y *story) claim(calls []string) (out []string) {
	var batch []spec.Service
	for _, call := range calls {
		words := strings.Fields(call)
		batch = append(batch, y.service(words[0], words[1:]))
	}
	var verdicts []Verdict
	if len(batch) == 1 {
		verdicts = []Verdict{y.table.Claim(batch[0])}
	} else {
		verdicts = y.table.ClaimAll(batch)
	}
	for i, v := range verdicts {
		y.last[nameOf(batch[i].Key)] = v
		out = append(out, said(v))
	}
	return out
}

func said(v Verdict) string {
	moved := ""
	if v.Reallocated != "" {
		moved = " (reallocated " + v.Reallocated + ")"
	}
	return fmt.Sprintf("%s [%s] %v %s: %s%s", nameOf(v.Key), brief(v), v.Allocated, v.Reason, v.Message, moved)
}

func (y *story) service(name string, options []string) spec.Service {
	s, ok := y.services[name]
	if !ok {
		s = svc(name, created(y.clock))
		s.Key = keyOf(name)
	}
	for _, o := range options {
		y.option(&s, o)
	}
	y.services[name] = s
	return s
}

func (y *story) option(s *spec.Service, o string) {
	k, v, _ := strings.Cut(o, "=")
	n, _ := strconv.Atoi(v)
	switch k {
	case "created":
		created(n)(s)
	case "since":
		since(n)(s)
	case "uid":
		uid(v)(s)
	case "families":
		s.Families = map[string][]spec.Family{"4": {v4}, "6": {v6}, "46": {v4, v6}, "64": {v6, v4}}[v]
	case "policy":
		s.Policy = map[string]spec.DualStack{"single": spec.SingleStack, "prefer": spec.PreferDualStack, "require": spec.RequireDualStack}[v]
	case "held":
		s.Held, s.Pools = nil, nil
		if v != "" {
			holds(strings.Split(v, ",")...)(s)
		}
	case "gone":
		s.Terminated = true
	case "pool":
		s.WantPool = v
	case "ips":
		s.WantIPs = addrsOf(v)
	case "key":
		s.SharingKey = v
	case "local":
		s.Local = v == "true"
	case "reservation":
		s.Reservation = v
	case "reallocate":
		s.Reallocate = v
	case "reallocated":
		s.Reallocated = v
	case "bad":
		s.BadWish = v
	case "label":
		s.Labels = spec.NewLabels(setOf(v))
	case "nslabel":
		s.NamespaceLabels = setOf(v)
	case "ports":
		s.Ports = nil
		for p := range strings.SplitSeq(v, ",") {
			protocol, port, _ := strings.Cut(p, "/")
			n, _ := strconv.Atoi(port)
			s.Ports = append(s.Ports, spec.Port{Protocol: corev1.Protocol(protocol), Port: int32(n)})
		}
	default:
		y.t.Fatalf("no such option: %s", o)
	}
}

func addrsOf(list string) (out []netip.Addr) {
	for a := range strings.SplitSeq(list, ",") {
		if a != "" {
			out = append(out, netip.MustParseAddr(a))
		}
	}
	return out
}

func setOf(label string) labels.Set {
	k, v, _ := strings.Cut(label, "=")
	return labels.Set{k: v}
}

// reservation reuses the options of Services; for= is its own.
func (y *story) reservation(name string, options []string) spec.Reservation {
	r, ok := y.reserved[name]
	if !ok {
		r = spec.Reservation{UID: types.UID("r-" + name), Created: epoch.Add(time.Duration(y.clock) * time.Second), Families: []spec.Family{v4}}
	}
	s := spec.Service{Families: r.Families, WantPool: r.Pool, WantIPs: r.Addresses, Held: r.Held, HeldSince: r.HeldSince, Pools: r.Pools, Labels: r.Labels, NamespaceLabels: r.NamespaceLabels}
	for _, o := range options {
		if taker, is := strings.CutPrefix(o, "for="); is {
			r.ServiceName = taker
			continue
		}
		y.option(&s, o)
	}
	r.Key, r.Families, r.Pool, r.Addresses = keyOf(name), s.Families, s.WantPool, s.WantIPs
	r.Held, r.HeldSince, r.Pools, r.Labels, r.NamespaceLabels = s.Held, s.HeldSince, s.Pools, s.Labels, s.NamespaceLabels
	y.reserved[name] = r
	return r
}
