package integration

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/cli"
	"github.com/belfry-lb/belfry/internal/migrate"
)

// metalLB puts its kinds, its programs, its configuration and Services that it serves into the API server.
func metalLB(t *testing.T, files ...string) {
	t.Helper()
	shared.turn <- struct{}{}
	t.Cleanup(func() {
		for _, f := range slices.Backward(files) {
			load(t, f, removeButNamespaces)
		}
		emptyOfBGP(t)
		empty(t)
		<-shared.turn
	})
	load(t, "crds.yaml", apply)
	waitFor(t, "the kinds of MetalLB", func() bool {
		list := &unstructured.UnstructuredList{}
		for _, kind := range []string{"IPAddressPoolList", "L2AdvertisementList", "BGPAdvertisementList", "BFDProfileList", "CommunityList"} {
			list.SetAPIVersion("metallb.io/v1beta1")
			list.SetKind(kind)
			if shared.client.List(t.Context(), list) != nil {
				return false
			}
		}
		list.SetAPIVersion("metallb.io/v1beta2")
		list.SetKind("BGPPeerList")
		return shared.client.List(t.Context(), list) == nil
	})
	for _, f := range files {
		load(t, f, apply)
	}
}

// removeButNamespaces: nobody finishes the deletion of a namespace here.
func removeButNamespaces(ctx context.Context, o *unstructured.Unstructured) error {
	if o.GetKind() == "Namespace" {
		return nil
	}
	return remove(ctx, o)
}

func emptyOfBGP(t *testing.T) {
	for _, o := range []client.Object{&v1beta1.BGPPeer{}, &v1beta1.BGPAdvertisement{}, &v1beta1.BFDProfile{}, &v1beta1.Community{}} {
		if err := shared.client.DeleteAllOf(context.Background(), o); err != nil {
			t.Error(err)
		}
	}
	for _, ns := range []string{"metallb-system", "belfry-system"} {
		for _, o := range []client.Object{&corev1.Pod{}, &corev1.Secret{}} {
			if err := shared.client.DeleteAllOf(context.Background(), o, client.InNamespace(ns), client.GracePeriodSeconds(0)); err != nil {
				t.Error(err)
			}
		}
	}
}

func load(t *testing.T, file string, do func(context.Context, *unstructured.Unstructured) error) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "migrate", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := each(string(b), func(o *unstructured.Unstructured) error { return do(context.Background(), o) }); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// lines counts and keeps what is written, and calls cut when there is one more line than it may have.
type lines struct {
	strings.Builder
	most int
	cut  context.CancelFunc
}

func (l *lines) Write(b []byte) (int, error) {
	n, err := l.Builder.Write(b)
	if l.most > 0 && strings.Count(l.String(), "\n") >= l.most {
		l.cut()
	}
	return n, err
}

// plugin runs the plugin; it is interrupted as soon as it has written so many lines, 0 is never.
func plugin(most int, args ...string) (out, errOut string, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o, e := &lines{most: most, cut: cancel}, &lines{}
	root := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: o, ErrOut: e}, "v1.2.3")
	root.SetArgs(append(args, "--kubeconfig", shared.kubeconfig))
	err = root.ExecuteContext(ctx)
	return o.String(), e.String(), err
}

func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	out, errOut, err := plugin(0, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, errOut)
	}
	return out
}

// TestMigrate changes over from MetalLB and back, interrupted after every step.
func TestMigrate(t *testing.T) {
	for _, tc := range []struct{ name, config string }{{"layer 2", "l2.yaml"}, {"BGP", "bgp.yaml"}} {
		t.Run(tc.name, func(t *testing.T) {
			metalLB(t, "programs.yaml", "belfry.yaml", tc.config)
			w := startWorld(t)
			apply := []string{"migrate", "metallb", "--apply", "--timeout=1m", "--settle=0s"}
			back := []string{"migrate", "metallb", "--rollback", "--timeout=1m", "--settle=0s"}

			dry := mustRun(t, append(apply, "--dry-run")...)
			if was := w.begun.Load(); was {
				t.Error("a dry run has begun")
			}
			interrupted(t, apply)
			if out := mustRun(t, apply...); out != "done: Belfry assigns and announces; MetalLB runs nowhere and can be uninstalled, its pools and Secrets too\n" {
				t.Errorf("done again: %s", out)
			}
			w.changedOver(t)
			interrupted(t, back)
			w.back(t)

			// There and back once more without a stop, in the steps that were told.
			if out := mustRun(t, apply...); !follows(out, dry) {
				t.Errorf("it went\n%swhere a dry run had told\n%s", out, dry)
			}
			w.changedOver(t)
			mustRun(t, back...)
			w.back(t)

			// Turned round half way.
			for _, at := range []int{3, 6, 9, 12} {
				_, _, _ = plugin(at, apply...)
				mustRun(t, back...)
				w.back(t)
			}
		})
	}
}

// interrupted runs a command until it has ended by itself, each time interrupted after its first lines.
func interrupted(t *testing.T, args []string) {
	t.Helper()
	for run := range 200 {
		out, errOut, err := plugin(1+run%2, args...)
		if err == nil && strings.HasPrefix(lastLine(out), "done: ") {
			return
		}
		if err != nil && !strings.Contains(err.Error(), "context canceled") {
			t.Fatalf("%v: %v\n%s%s", args, err, out, errOut)
		}
	}
	t.Fatalf("%v does not end", args)
}

func lastLine(s string) string {
	list := strings.Split(strings.TrimSpace(s), "\n")
	return list[len(list)-1]
}

// follows tells whether the steps that were done are those told before, save what is waited for.
func follows(did, told string) bool {
	steps := func(s string) (out []string) {
		for l := range strings.Lines(s) {
			if !strings.Contains(l, "waiting") && !strings.HasPrefix(l, "done") {
				out = append(out, l)
			}
		}
		return out
	}
	return slices.Equal(steps(did), steps(told))
}

// TestMigrateFindsNothing: a cluster without MetalLB, and one that has its kinds only.
func TestMigrateFindsNothing(t *testing.T) {
	metalLB(t, "belfry.yaml")
	for _, args := range [][]string{{"migrate", "metallb"}, {"migrate", "metallb", "--apply"}} {
		if _, _, err := plugin(0, args...); err == nil || !strings.Contains(err.Error(), "was found") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestMigrateRefuses tells what must be done by hand before anything is touched.
func TestMigrateRefuses(t *testing.T) {
	metalLB(t, "programs.yaml", "belfry.yaml", "l2.yaml")
	w := startWorld(t)
	_, errOut, err := plugin(0, "migrate", "metallb", "--apply", "--as=somebody", "--as-group=system:authenticated")
	if err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("without rights: %v %s", err, errOut)
	}
	load(t, "reader.yaml", apply)
	defer load(t, "reader.yaml", remove)
	waitFor(t, "the new role", func() bool {
		_, errOut, err = plugin(0, "migrate", "metallb", "--apply", "--as=reader")
		return err == nil || !strings.Contains(err.Error(), "is forbidden")
	})
	if err == nil || !strings.Contains(err.Error(), "migrate needs the right to patch nodes") {
		t.Errorf("with rights to read: %v %s", err, errOut)
	}
	for _, tc := range []struct{ manifest, want string }{
		{"apiVersion: v1\nkind: Service\nmetadata: {name: classed, namespace: default}\nspec: {type: LoadBalancer, loadBalancerClass: metallb, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 192.0.2.15}]}}\n", `of class "metallb"`},
		{"apiVersion: v1\nkind: Service\nmetadata: {name: outside, namespace: default}\nspec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}\n", "would not keep 203.0.113.9"},
	} {
		text := func(do func(context.Context, *unstructured.Unstructured) error) {
			if err := each(tc.manifest, func(o *unstructured.Unstructured) error { return do(t.Context(), o) }); err != nil {
				t.Fatal(err)
			}
		}
		text(apply)
		if _, _, err := plugin(0, "migrate", "metallb", "--apply"); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
		text(remove)
	}
	var speaker corev1.Pod
	key := client.ObjectKey{Namespace: "belfry-system", Name: "speaker-n2"}
	if err := shared.client.Get(t.Context(), key, &speaker); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), &speaker, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := plugin(0, "migrate", "metallb", "--apply"); err == nil || !strings.Contains(err.Error(), "no ready speaker on n2") {
		t.Errorf("without a speaker: %v", err)
	}
	if w.begun.Load() {
		t.Error("something was changed all the same")
	}
}

// TestMetalLBSamplesApply applies each MetalLB object of the corpus with group and version replaced; what is refused is what
// migrate rewrites. What migrate makes of them applies without exception.
func TestMetalLBSamplesApply(t *testing.T) {
	shared.turn <- struct{}{}
	defer func() { <-shared.turn }()
	files, err := filepath.Glob("../../migrate/testdata/metallb-*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	exceptions := sampleExceptions()
	kinds := map[string]int{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := migrate.Parse(string(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.GroupVersionKind().Group != "metallb.io" || !slices.Contains(sampleKinds(), o.GetKind()) {
				continue
			}
			name := strings.TrimSuffix(filepath.Base(file), ".yaml") + " " + o.GetKind() + " " + o.GetName()
			err := tryOut(t, replaced(o))
			why, excepted := exceptions[name]
			switch {
			case excepted && (err == nil || !strings.Contains(err.Error(), why)):
				t.Errorf("%s: got %v, and was to be refused for %q", name, err, why)
			case !excepted && err != nil:
				t.Errorf("%s: %v", name, err)
			case !excepted:
				kinds[o.GetKind()]++
			}
			delete(exceptions, name)
		}
		for _, o := range migrate.From(objects).Objects {
			if err := tryOut(t, o); err != nil {
				t.Errorf("%s: %s %s as it was rewritten: %v", file, o.GetKind(), o.GetName(), err)
			}
		}
	}
	for _, kind := range sampleKinds() {
		if kinds[kind] == 0 {
			t.Errorf("no sample of kind %s applies as it is", kind)
		}
	}
	if len(exceptions) > 0 {
		t.Errorf("these are in no file: %v", exceptions)
	}
}

func sampleKinds() []string {
	return []string{"IPAddressPool", "L2Advertisement", "BGPPeer", "BGPAdvertisement", "BFDProfile", "Community"}
}

// replaced is an object as an edit of its apiVersion leaves it; ours have no namespace.
func replaced(o *unstructured.Unstructured) *unstructured.Unstructured {
	o = o.DeepCopy()
	o.SetAPIVersion("belfry.dev/v1beta1")
	o.SetNamespace("")
	delete(o.Object, "status")
	return o
}

// tryOut asks the API server whether it would take the object, every field of it.
func tryOut(t *testing.T, o *unstructured.Unstructured) error {
	t.Helper()
	return shared.client.Create(t.Context(), o.DeepCopy(), client.DryRunAll, client.FieldValidation("Strict"))
}

// TestMigratePrints prints what is in the cluster, to be applied, with what is not as it was beside it.
func TestMigratePrints(t *testing.T) {
	metalLB(t, "programs.yaml", "belfry.yaml", "bgp.yaml")
	startWorld(t)
	out, errOut, err := plugin(0, "migrate", "metallb")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := migrate.Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.GetKind()+" "+o.GetName())
		if err := tryOut(t, o); err != nil {
			t.Error(err)
		}
	}
	want := []string{"BFDProfile fast", "IPAddressPool lan", "BGPPeer everywhere", "BGPPeer tor", "BGPAdvertisement lan"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, want := range []string{"metallb-system/tor-password", "excludeLBLabel=ignore", "n3: waiting for its sessions and routes"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("%q is not said:\n%s", want, errOut)
		}
	}
	if strings.Contains(out+errOut, "Pl4nted") || strings.Contains(out+errOut, "UGw0bnRlZA") {
		t.Error("a password is shown")
	}
}

// sampleExceptions are the objects of the corpus that migrate must rewrite, with what the API server says against them.
func sampleExceptions() map[string]string {
	return map[string]string{
		"metallb-bgp BGPPeer tor-1":          `unknown field "spec.disableMP"`,
		"metallb-bgp BGPPeer rr":             "ebgpMultiHop is for routers of another AS",
		"metallb-bgp BGPPeer unnumbered":     `unknown field "spec.someNewField"`,
		"metallb-bgp BFDProfile fast":        "echoInterval needs echoMode",
		"metallb-bgp Community communities":  "a well-known community's already",
		"metallb-hostbits IPAddressPool lan": "has host bits set",
	}
}
