package cli_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/belfry-lb/belfry/internal/cli"
	"github.com/belfry-lb/belfry/internal/migrate"
)

var update = flag.Bool("update", false, "write the golden files")

func run(args ...string) (out, errOut string, err error) {
	var o, e strings.Builder
	root := cli.New(genericiooptions.IOStreams{In: strings.NewReader(""), Out: &o, ErrOut: &e}, "v1.2.3")
	root.SetArgs(args)
	err = root.Execute()
	return o.String(), e.String(), err
}

// The corpus of internal/migrate, as the command shows it: objects to apply on the one side, words for people on the other.
func TestMigrateCorpus(t *testing.T) {
	files, err := filepath.Glob("../migrate/testdata/*.yaml")
	if err != nil || len(files) < 9 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			from := "-f"
			if strings.HasPrefix(name, "values-") {
				from = "--values"
			}
			out, errOut, err := run("migrate", systemOf(name), from, file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "migrate", name+".golden"), out+"# on the standard error:\n"+errOut)
			again, err := migrate.Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			if r := migrate.From(again); len(r.Objects) > 0 {
				t.Errorf("what is printed would be migrated again: %v", r.Objects)
			}
		})
	}
}

func systemOf(name string) string {
	switch name {
	case "cilium", "openelb":
		return name
	case "kubevip":
		return "kube-vip"
	}
	return "metallb"
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What cannot go together is refused before anything is asked of a cluster.
func TestMigrateFlags(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"migrate"}, "accepts 1 arg"},
		{[]string{"migrate", "purelb"}, "invalid argument"},
		{[]string{"migrate", "cilium", "--apply"}, "only the change-over from MetalLB"},
		{[]string{"migrate", "metallb", "--apply", "--rollback"}, "none of the others can be"},
		{[]string{"migrate", "metallb", "--dry-run"}, "goes with --apply or --rollback"},
		{[]string{"migrate", "metallb", "-o", "json"}, "write yaml"},
		{[]string{"migrate", "metallb", "-f", "testdata/nothing.yaml"}, "does not exist"},
	} {
		if _, _, err := run(tc.args...); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v: %v, want %q", tc.args, err, tc.want)
		}
	}
}
