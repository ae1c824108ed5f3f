package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDockerfile: `docker build` makes the image that `make image` makes, with the Go that go.mod asks for.
func TestDockerfile(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	language := regexp.MustCompile(`(?m)^go ([0-9]+\.[0-9]+)`).FindSubmatch(mod)
	if language == nil {
		t.Fatal("go.mod names no version of Go")
	}
	flags := buildFlags("${VERSION#v}")
	last := len(flags) - 1
	flags[last] = `"` + flags[last] + `"`
	program := command().PersistentFlags().Lookup("program").DefValue
	text := strings.ReplaceAll(string(b), " \\\n   ", "")
	for _, line := range []string{
		"FROM --platform=$BUILDPLATFORM golang:" + string(language[1]) + " AS build",
		"RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build " + strings.Join(flags, " ") + " -o /belfry " + program,
		"FROM scratch",
		"COPY --from=build /belfry " + entrypoint,
		"USER " + user,
		`ENTRYPOINT ["` + entrypoint + `"]`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the Dockerfile has no line %s:\n%s", line, text)
		}
	}
}
