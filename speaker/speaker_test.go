package speaker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestOutlive(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name          string
		stop          bool
		answers, says error // what the parts fail with, nil: they run until told to stop
		want          error
		story         []string
	}{
		{"told to stop", true, nil, nil, nil, []string{"left", "silent"}},
		{"the group fails", false, nil, broken, broken, []string{"left", "silent"}},
		{"the sockets fail", false, broken, nil, broken, []string{"silent", "left"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				var story []string
				part := func(last string, takes time.Duration, fails error) func(context.Context) error {
					return func(ctx context.Context) error {
						if fails == nil {
							<-ctx.Done()
						}
						time.Sleep(takes)
						story = append(story, last)
						return fails
					}
				}
				done := make(chan error)
				go func() {
					done <- outlive(ctx, part("silent", time.Millisecond, tt.answers), part("left", time.Second, tt.says))
				}()
				synctest.Wait()
				if tt.stop {
					cancel()
				}
				if err := <-done; !errors.Is(err, tt.want) {
					t.Errorf("ended with %v, want %v", err, tt.want)
				}
				if diff := cmp.Diff(tt.story, story); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

func TestNew(t *testing.T) {
	r := prometheus.NewRegistry()
	s, err := New(Options{Node: "n1", Registerer: r})
	must(t, err)
	if s.Ready() == nil {
		t.Error("ready before it was started")
	}
	if _, err := New(Options{Node: "n1", Registerer: r}); err == nil {
		t.Error("two speakers share their metrics")
	}
	if _, err := New(Options{Node: "n1", Exclude: []string{"["}}); err == nil {
		t.Error("a malformed glob was taken")
	}
}
