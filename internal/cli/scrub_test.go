package cli

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestScrubText: whatever way a secret is written into a text, it is gone, and what stands around it is not.
func TestScrubText(t *testing.T) {
	const plant = "s3cr3tPl4nt"
	for _, text := range []string{
		"password=" + plant, "Password: " + plant, `"password":"` + plant + `"`, `\"password\":\"` + plant + `\"`, "--bgp-password=" + plant,
		"token: '" + plant + "'", "api-key=" + plant, "apikey " + "= " + plant, "secret=" + plant, "secretkey: " + plant, "--token " + plant,
		"Authorization: Bearer " + plant, "Authorization: Basic " + plant, "https://user:" + plant + "@example.com/x",
		"-----BEGIN RSA PRIVATE KEY-----\n" + plant + "\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + plant,
		"eyJhbGciOiJSUzI1NiJ9." + plant + ".sig",
	} {
		got := string(scrubText([]byte("before " + text + " after")))
		if strings.Contains(got, plant) || !strings.HasPrefix(got, "before ") {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, text := range []string{"secretName: belfry-memberlist", "192.0.2.1 from pool lan", "tokens are none", "https://192.0.2.1:6443/api", "key: value"} {
		if got := string(scrubText([]byte(text))); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestScrubObject(t *testing.T) {
	o := map[string]any{
		"metadata": map[string]any{
			"managedFields": []any{"x"},
			"annotations": map[string]any{
				"kubectl.kubernetes.io/last-applied-configuration": "s3cr3t", "example.com/note": "s3cr3t", "belfry.dev/pool": "lan",
			},
		},
		"spec": map[string]any{
			"password": "s3cr3t", "passwordSecret": map[string]any{"name": "router"},
			"template": map[string]any{"metadata": map[string]any{"annotations": map[string]any{"x": "s3cr3t"}}},
			"containers": []any{map[string]any{
				"env":  []any{map[string]any{"name": "A", "value": "s3cr3t"}, map[string]any{"name": "B", "valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": "n", "key": "k"}}}},
				"args": []any{"--token=s3cr3t", "--port=80"},
			}},
		},
	}
	scrubObject(o)
	b, err := yaml.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	text := string(scrubText(b)) // as bundle.add does
	if strings.Contains(text, "s3cr3t") {
		t.Errorf("a secret is left:\n%s", text)
	}
	for _, want := range []string{"belfry.dev/pool: lan", "name: router", "--port=80", "name: A", "key: k"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is gone:\n%s", want, text)
		}
	}
}
