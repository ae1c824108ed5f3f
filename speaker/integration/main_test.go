// Package integration runs real speakers, each in a network namespace of its own, against a real API server. The
// neighbours on their LAN are the judges.
package integration

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/belfry-lb/belfry/internal/speakertest"
)

// api is made by TestMain for all tests; nobody changes it afterwards.
var api speakertest.API

func TestMain(m *testing.M) {
	code, err := withAPIServer(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "speaker/integration:", err)
		code = 1
	}
	os.Exit(code)
}

func withAPIServer(run func() int) (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("needs root: it makes network namespaces")
	}
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 0, errors.New("KUBEBUILDER_ASSETS is not set, so there is no kube-apiserver: run make test-integration")
	}
	return speakertest.Run(true, nil, func(a speakertest.API) int {
		api = a
		return run()
	})
}
