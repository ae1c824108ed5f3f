package speaker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// bytesOf is how big a status is with the condition that comes on top.
func bytesOf(t *testing.T, s v1beta1.SpeakerStatusStatus) int {
	t.Helper()
	b, err := json.Marshal(withReady(s, &v1beta1.SpeakerStatus{}))
	must(t, err)
	return len(b)
}

func scattered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("2001:db8:%x:%x::1", i/1000, i%1000))
	}
	return list
}

func manyPeers(n int) (list []v1beta1.SpeakerPeer) {
	for i := range n {
		list = append(list, v1beta1.SpeakerPeer{Name: fmt.Sprintf("router-%d", i), State: v1beta1.SessionIdle, Message: "the router refuses the connection"})
	}
	return list
}

// TestBounded: a status of any size fits, what matters least is given up first, and what is left out is counted.
func TestBounded(t *testing.T) {
	type status = v1beta1.SpeakerStatusStatus
	claims := func(sizes ...int) (list []v1beta1.SpeakerClaim) {
		for i, n := range sizes {
			list = append(list, v1beta1.SpeakerClaim{Epoch: int64(i), Addresses: scattered(n)})
		}
		return list
	}
	for _, tt := range []struct {
		name string
		s    status
		want v1beta1.SpeakerOmitted
	}{
		{"small", status{L2: v1beta1.SpeakerL2{Count: 100, Addresses: scattered(100)}}, v1beta1.SpeakerOmitted{}},
		{"small, with conflicts that are not shown", status{Omitted: v1beta1.SpeakerOmitted{L2Conflicts: 3}}, v1beta1.SpeakerOmitted{L2Conflicts: 3}},
		{"claims of two epochs", status{L2: v1beta1.SpeakerL2{
			Count: 20000, Addresses: scattered(8000), Claims: claims(6000, 2000),
			Problems: []v1beta1.SpeakerProblem{{Reason: "LinkDown", Addresses: scattered(2000)}},
		}}, v1beta1.SpeakerOmitted{L2Problems: 2000, L2Claims: 4000}},
		{"a claim for each address", status{L2: v1beta1.SpeakerL2{Claims: claims(slices.Repeat([]int{1}, 8001)...)}}, v1beta1.SpeakerOmitted{L2Claims: 4001}},
		{"addresses and members", status{L2: v1beta1.SpeakerL2{Addresses: scattered(100000)}, Members: v1beta1.SpeakerMembers{Missing: scattered(20000)}},
			v1beta1.SpeakerOmitted{L2Addresses: 100000, MembersMissing: 10000}},
		{"routers", status{BGP: v1beta1.SpeakerBGP{Peers: manyPeers(5000)}}, v1beta1.SpeakerOmitted{BGPPeers: 2500}},
	} {
		was, _ := json.Marshal(tt.s)
		got := bounded(tt.s)
		if n := bytesOf(t, got); n > 256<<10 {
			t.Errorf("%s: %d bytes", tt.name, n)
		}
		if diff := cmp.Diff(tt.want, got.Omitted); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		if is, _ := json.Marshal(tt.s); string(is) != string(was) {
			t.Errorf("%s: what was given has changed", tt.name)
		}
	}
}

// TestEveryListIsBounded: whatever list of a status is long, the status fits, and the count named after the list is right.
func TestEveryListIsBounded(t *testing.T) {
	const long = 20000
	paths := listsOf(reflect.TypeFor[v1beta1.SpeakerStatusStatus](), "")
	if len(paths) < 9 {
		t.Fatalf("found only %v", paths)
	}
	for _, path := range paths {
		var s v1beta1.SpeakerStatusStatus
		list := at(reflect.ValueOf(&s).Elem(), path)
		list.Set(reflect.MakeSlice(list.Type(), long, long))
		for i := range long {
			fill(list.Index(i), i)
		}
		got := bounded(s)
		if n := bytesOf(t, got); n > 256<<10 {
			t.Errorf("%s: %d bytes", path, n)
		}
		if strings.Contains(path, "[]") {
			continue // its owner is what is counted, but for addresses: TestBounded
		}
		left := reflect.ValueOf(got.Omitted).FieldByName(strings.ReplaceAll(path, ".", ""))
		if !left.IsValid() {
			t.Errorf("nothing counts what is left out of %s", path)
			continue
		}
		if shown := at(reflect.ValueOf(&got).Elem(), path).Len(); shown == 0 || shown == long || shown+int(left.Int()) != long {
			t.Errorf("%s: %d shown, %d left out, of %d", path, shown, left.Int(), long)
		}
	}
}

// listsOf names the lists of a type, those in elements of lists included: "L2.Claims[].Addresses". Conditions are set later, one
// of them.
func listsOf(is reflect.Type, at string) (paths []string) {
	switch is.Kind() {
	case reflect.Slice:
		return append([]string{strings.TrimPrefix(at, ".")}, listsOf(is.Elem(), at+"[]")...)
	case reflect.Pointer:
		return listsOf(is.Elem(), at)
	case reflect.Struct:
		for f := range is.Fields() {
			if f.Name != "Conditions" && f.IsExported() {
				paths = append(paths, listsOf(f.Type, at+"."+f.Name)...)
			}
		}
	}
	return paths
}

// at finds the list of a path; what is on the way is made where it is not there.
func at(v reflect.Value, path string) reflect.Value {
	for name := range strings.SplitSeq(path, ".") {
		name, element := strings.CutSuffix(name, "[]")
		if v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		if v = v.FieldByName(name); element {
			if v.Len() == 0 {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			}
			v = v.Index(0)
		}
	}
	return v
}

// fill gives every string of an element text of its own, and every list of it one such string.
func fill(v reflect.Value, i int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("something-%d", i))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), i)
	case reflect.Struct:
		for _, f := range v.Fields() {
			if f.CanSet() {
				fill(f, i)
			}
		}
	}
}
