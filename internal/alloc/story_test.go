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

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/belfry-lb/belfry/internal/spec"
)

var update = flag.Bool("update", false, "write the stories' answers anew")

// TestStories plays the transcripts in testdata: a line is a command, the indented lines below it are the answer.
//
//	pools a=192.0.2.0/30,2001:db8::/126 b!=…   all pools there are; != does not assign automatically
//	claim a [created=5 uid=x families=46 policy=require held=192.0.2.1@a,… since=3 gone] [+ b …]
//	                                           options are remembered; + claims several at once
//	write a b                                  what was decided now stands in their statuses
//	release a · pending · displaced · usage a · verdict a · holder 192.0.2.1
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
	clock    int
}

func newStory(t *testing.T) *story {
	return &story{t: t, table: New(), services: map[string]spec.Service{}, last: map[string]Verdict{}}
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
		y.table.SetPools(y.pools)
	default:
		y.t.Fatalf("no such command: %s", command)
	}
	return nil
}

func keyOf(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

func (y *story) pool(arg string) spec.Pool {
	name, list, _ := strings.Cut(arg, "=")
	name, manual := strings.CutSuffix(name, "!")
	p := newPool(y.t, name, strings.Split(list, ",")...)
	p.AutoAssign = !manual
	return p
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
		y.last[batch[i].Key.Name] = v
		out = append(out, said(v))
	}
	return out
}

func said(v Verdict) string {
	return fmt.Sprintf("%s [%s] %v %s: %s", v.Key.Name, brief(v), v.Allocated, v.Reason, v.Message)
}

func (y *story) service(name string, options []string) spec.Service {
	s, ok := y.services[name]
	if !ok {
		s = svc(name, created(y.clock))
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
	default:
		y.t.Fatalf("no such option: %s", o)
	}
}
