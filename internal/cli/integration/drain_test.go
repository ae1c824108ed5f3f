package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestDrainAmongOthers: somebody writes the Node after the plugin has read it and before its first patch arrives.
func TestDrainAmongOthers(t *testing.T) {
	const (
		mine     = `{"key": "example.com/mine", "effect": "PreferNoSchedule"}`
		yours    = `{"key": "example.com/yours", "effect": "NoSchedule"}`
		drain    = `{"key": "belfry.dev/drain", "effect": "NoSchedule"}`
		evicting = `{"key": "belfry.dev/drain", "effect": "NoExecute"}`
		marked   = `"annotations": {"belfry.dev/drain": "soon"}`
		beating  = `"annotations": {"example.com/beat": "1"}`
		unmarked = `"annotations": {"belfry.dev/drain": null}`
	)
	spec := func(taints ...string) string { return `"spec": {"taints": [` + strings.Join(taints, ",") + `]}` }
	metadata := func(s string) string { return `"metadata": {` + s + `}` }
	for name, tc := range map[string]struct {
		before, between, command string
		want                     []string // taints and the annotation, in order
	}{
		"nobody":                         {spec(mine), ``, "drain", []string{"example.com/mine:PreferNoSchedule", "belfry.dev/drain:NoSchedule"}},
		"nobody, no taints":              {spec(), ``, "drain", []string{"belfry.dev/drain:NoSchedule"}},
		"nobody, undone":                 {spec(drain, mine, evicting) + "," + metadata(marked), ``, "undrain", []string{"example.com/mine:PreferNoSchedule"}},
		"a heartbeat":                    {spec(mine), metadata(beating), "drain", []string{"example.com/mine:PreferNoSchedule", "belfry.dev/drain:NoSchedule"}},
		"a taint":                        {spec(mine), spec(yours, mine), "drain", []string{"example.com/yours:NoSchedule", "example.com/mine:PreferNoSchedule", "belfry.dev/drain:NoSchedule"}},
		"the first taint":                {spec(), spec(yours), "drain", []string{"example.com/yours:NoSchedule", "belfry.dev/drain:NoSchedule"}},
		"the last taint":                 {spec(mine), spec(), "drain", []string{"belfry.dev/drain:NoSchedule"}},
		"another drain":                  {spec(), spec(evicting), "drain", []string{"belfry.dev/drain:NoExecute"}},
		"an annotation":                  {spec() + "," + metadata(marked), metadata(beating), "drain", []string{"belfry.dev/drain:NoSchedule", "soon"}},
		"a taint in front, undone":       {spec(drain), spec(yours, drain), "undrain", []string{"example.com/yours:NoSchedule"}},
		"a taint behind, undone":         {spec(drain), spec(drain, yours), "undrain", []string{"example.com/yours:NoSchedule"}},
		"a taint less, undone":           {spec(mine, drain), spec(drain), "undrain", nil},
		"undone by somebody else":        {spec(mine, drain), spec(mine), "undrain", []string{"example.com/mine:PreferNoSchedule"}},
		"the annotation gone and undone": {spec(drain) + "," + metadata(marked), metadata(unmarked), "undrain", nil},
	} {
		t.Run(name, func(t *testing.T) {
			node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "busy-"}}
			must(t, shared.client.Create(t.Context(), node))
			t.Cleanup(func() { must(t, shared.client.Delete(context.Background(), node)) })
			write := func(what string) {
				must(t, shared.client.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte("{"+what+"}"))))
			}
			write(tc.before)
			args := []string{tc.command, node.Name, "--server", between(t, node.Name, func() { write(tc.between) })}
			if tc.command == "drain" {
				args = append(args, "--no-wait")
			}
			mustRun(t, args...)
			must(t, shared.client.Get(t.Context(), client.ObjectKeyFromObject(node), node))
			var got []string
			for _, taint := range node.Spec.Taints {
				got = append(got, taint.Key+":"+string(taint.Effect))
			}
			if said, is := node.Annotations[v1beta1.Drain]; is {
				got = append(got, said)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

// between returns the URL of a way to the API server on which something happens before the first patch of the Node.
func between(t *testing.T, node string, happens func()) string {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", shared.kubeconfig)
	must(t, err)
	transport, err := rest.TransportFor(config)
	must(t, err)
	server, err := url.Parse(config.Host)
	must(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(server) }}
	patched := false
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/nodes/"+node) && !patched {
			patched = true
			happens()
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
