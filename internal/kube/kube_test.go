package kube

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestOurs(t *testing.T) {
	class := func(c string) *string { return &c }
	both := DefaultClasses()
	named := Classes{LoadBalancerClass: "lab/a"}
	unclassed := Classes{HandleUnclassed: true}
	for _, tc := range []struct {
		name    string
		classes Classes
		typ     corev1.ServiceType
		class   *string
		want    bool
	}{
		{"our class", both, corev1.ServiceTypeLoadBalancer, class(v1beta1.DefaultLoadBalancerClass), true},
		{"no class", both, corev1.ServiceTypeLoadBalancer, nil, true},
		{"somebody else's class", both, corev1.ServiceTypeLoadBalancer, class("cloud/nlb"), false},
		{"ClusterIP", both, corev1.ServiceTypeClusterIP, nil, false},
		{"ExternalName", both, corev1.ServiceTypeExternalName, nil, false},
		{"no class, not handled", named, corev1.ServiceTypeLoadBalancer, nil, false},
		{"another name for ours", named, corev1.ServiceTypeLoadBalancer, class("lab/a"), true},
		{"the default's name is then not ours", named, corev1.ServiceTypeLoadBalancer, class(v1beta1.DefaultLoadBalancerClass), false},
		{"an empty class matches no empty flag", unclassed, corev1.ServiceTypeLoadBalancer, class(""), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &corev1.Service{Spec: corev1.ServiceSpec{Type: tc.typ, LoadBalancerClass: tc.class}}
			if got := tc.classes.Ours(s); got != tc.want {
				t.Errorf("Ours = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	c, l := DefaultClasses(), DefaultLog()
	c.AddFlags(fs)
	l.AddFlags(fs)
	if err := fs.Parse([]string{"--load-balancer-class=lab/b", "--handle-unclassed=false", "--log-format=console"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Classes{LoadBalancerClass: "lab/b"}, c); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Log{Format: "console", Level: "info"}, l); diff != "" {
		t.Error(diff)
	}
}

func TestLog(t *testing.T) {
	var out bytes.Buffer
	l, err := Log{Format: "json", Level: "info"}.New(&out)
	if err != nil {
		t.Fatal(err)
	}
	l.Info("address assigned", "service", "default/web")
	l.V(1).Info("kept quiet")
	if got := out.String(); !strings.Contains(got, `"service":"default/web"`) || strings.Contains(got, "kept quiet") {
		t.Errorf("logged %s", got)
	}
	out.Reset()
	if l, err = (Log{Format: "console", Level: "debug"}).New(&out); err != nil {
		t.Fatal(err)
	}
	if l.V(1).Info("said"); !strings.Contains(out.String(), "DEBUG\tsaid") {
		t.Errorf("logged %q", out.String())
	}
	for _, bad := range []Log{{Format: "xml", Level: "info"}, {Format: "json", Level: "loud"}} {
		if _, err := bad.New(&out); err == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestScheme(t *testing.T) {
	s, err := NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"IPAddressPool", "L2Advertisement", "SpeakerStatus"} {
		if !s.Recognizes(v1beta1.GroupVersion().WithKind(kind)) {
			t.Errorf("the scheme does not know %s", kind)
		}
	}
	if !s.Recognizes(corev1.SchemeGroupVersion.WithKind("Service")) {
		t.Error("the scheme does not know Service")
	}
}

func TestSlim(t *testing.T) {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{
		Name:          "web",
		Annotations:   map[string]string{lastApplied: "{}", "mine": "1"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
	got, err := Slim(s)
	if err != nil {
		t.Fatal(err)
	}
	want := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{"mine": "1"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	tombstone := cache.DeletedFinalStateUnknown{Key: "default/web"}
	for _, o := range []any{tombstone, 7} {
		if got, err := Slim(o); err != nil || !cmp.Equal(got, o) {
			t.Errorf("Slim(%v) = %v, %v", o, got, err)
		}
	}
}

func TestOwnNamespace(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "from-env")
	for flag, want := range map[string]string{"from-flag": "from-flag", "": "from-env"} {
		if got, err := OwnNamespace(flag); err != nil || got != want {
			t.Errorf("OwnNamespace(%q) = %q, %v, want %q", flag, got, err, want)
		}
	}
}

func TestGossipKey(t *testing.T) {
	a, b := NewGossipKey(), NewGossipKey()
	if bytes.Equal(a, b) {
		t.Error("two keys are the same")
	}
	if key, err := base64.StdEncoding.DecodeString(string(a)); err != nil || len(key) != 32 {
		t.Errorf("a key of %d bytes, %v", len(key), err)
	}
}
