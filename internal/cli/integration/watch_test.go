package integration

import (
	"bufio"
	"context"
	"os/exec"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const watched = `
apiVersion: belfry.dev/v1beta1
kind: IPAddressPool
metadata: {name: lan}
spec: {addresses: [192.0.2.10-192.0.2.11]}
`

// TestWatch: --watch prints what there is, and then the rows that change, and no others.
func TestWatch(t *testing.T) {
	shared.turn <- struct{}{}
	defer func() { empty(t); <-shared.turn }()
	put := func(manifest string) {
		t.Helper()
		if err := each(manifest, func(o *unstructured.Unstructured) error { return apply(context.Background(), o) }); err != nil {
			t.Fatal(err)
		}
	}
	put(watched)
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "belfry", "pools", "--watch", "--kubeconfig", shared.kubeconfig)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	next := func(want string) {
		t.Helper()
		for lines.Scan() {
			if l := lines.Text(); !strings.HasPrefix(l, "NAME") {
				if !strings.HasPrefix(l, want) {
					t.Fatalf("%q was printed, want %q", l, want)
				}
				return
			}
		}
		t.Fatalf("the output ended: %v", lines.Err())
	}
	next("lan")
	put(strings.ReplaceAll(watched, "name: lan", "name: more"))
	next("more") // and not lan again, which has not changed
}
