package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSmall: what is released does not link the package that would have the linker keep every method of every type.
func TestSmall(t *testing.T) {
	flags := buildFlags("1.2.3")
	tag := flags[slices.Index(flags, "-tags")+1]
	list := exec.Command("go", "list", "-deps", "-tags", tag, command().PersistentFlags().Lookup("program").DefValue)
	list.Dir = filepath.Join("..", "..")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "google.golang.org/grpc") || slices.Contains(deps, "golang.org/x/net/trace") {
		t.Errorf("with %s, the program is made of %v, want gRPC without golang.org/x/net/trace", tag, deps)
	}
}
