// Command release builds what users download: the image of both programs, and all files of a release. It needs Go alone,
// and helm for the chart. The same sources give the same bytes, on any machine with the same Go.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// repository is that of the image, as the sources name it.
const repository = "ghcr.io/belfry-lb/belfry"

// job is what is to be built, and where it goes.
type job struct {
	root    string // of the sources
	out     string // directory of the results
	version string // as in a tag, without the v
	repo    string // repository of the image, without a tag
	program string // package of the programs in the image
	plugin  string // package of the kubectl plugin
	helm    string
	date    int64 // seconds since 1970, that files and images bear
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	j := job{date: sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))}
	root := &cobra.Command{
		Use: "release", Short: "Build the image and the files of a release", SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return j.complete() },
	}
	fs := root.PersistentFlags()
	fs.StringVar(&j.root, "root", ".", "directory of the sources")
	fs.StringVar(&j.out, "out", "dist", "directory of the results")
	fs.StringVar(&j.version, "version", "", "version, with or without a v")
	fs.StringVar(&j.repo, "repository", repository, "repository of the image, without a tag")
	fs.StringVar(&j.program, "program", "./cmd/belfry", "package of the program in the image")
	fs.StringVar(&j.plugin, "plugin", "./cmd/kubectl-belfry", "package of the kubectl plugin")
	fs.StringVar(&j.helm, "helm", "helm", "the program helm")
	var platforms []string
	image := &cobra.Command{
		Use: "image", Short: "Write the image as an OCI archive, and an SPDX SBOM for each platform", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return j.image(c.Context(), c.OutOrStdout(), platforms) },
	}
	image.Flags().StringSliceVar(&platforms, "platform", imagePlatforms(), "platforms of the image")
	root.AddCommand(image, &cobra.Command{
		Use: "all", Short: "Write the image and all other files of a release, and their checksums", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return j.all(c.Context(), c.OutOrStdout()) },
	})
	return root
}

// Versions of a release are those of semantic versioning; an image may have any that its tag can be.
var (
	semver = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	tagged = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}$`)
)

func (j *job) complete() (err error) {
	if v := strings.TrimPrefix(j.version, "v"); semver.MatchString(v) {
		j.version = v
	}
	if !tagged.MatchString(j.version) {
		return fmt.Errorf("version %q: want one like 0.2.0 or 0.2.0-rc.1", j.version)
	}
	if j.out, err = filepath.Abs(j.out); err != nil {
		return err
	}
	return os.MkdirAll(j.out, 0o755)
}

// sourceDate reads SOURCE_DATE_EPOCH; without it all is from 1980, where the dates of zip files begin.
func sourceDate(s string) int64 {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	return time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
}

func (j *job) created() time.Time { return time.Unix(j.date, 0).UTC() }

// write creates a file of the release and returns its path.
func (j *job) write(name string, data []byte) (string, error) {
	path := filepath.Join(j.out, name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	return path, nil
}

// all builds everything. What stands in the directory already and is not of this release is an error: checksums of it
// would be published with the rest.
func (j *job) all(ctx context.Context, out io.Writer) error {
	if !semver.MatchString(j.version) {
		return fmt.Errorf("version %q: want one like 0.2.0 or 0.2.0-rc.1", j.version)
	}
	left, err := os.ReadDir(j.out)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%s is not empty: take it away first", j.out)
	}
	plugins, err := j.plugins(ctx)
	if err != nil {
		return err
	}
	for _, part := range []func() error{
		func() error { return j.krew(plugins) },
		func() error { return j.image(ctx, out, imagePlatforms()) },
		func() error { return j.chart(ctx) },
		j.manifests,
		func() error { return j.checksums(out) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}
