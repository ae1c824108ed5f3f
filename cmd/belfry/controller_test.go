package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	cmd := newVersion()
	cmd.SetOut(&out)
	cmd.SetArgs(nil)
	if err := cmd.Execute(); err != nil || out.String() != version+"\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}

func TestControllerRefusesBadFlags(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "belfry-system")
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for want, args := range map[string][]string{
		"unknown flag":           {"--no-such-flag"},
		"--log-level":            {"--log-level=loud"},
		"finding the API server": {},
		"whole seconds":          {"--kubeconfig=testdata/kubeconfig", "--lease-duration=1500ms"},
		"renew deadline":         {"--kubeconfig=testdata/kubeconfig", "--write-timeout=1500ms"},
	} {
		cmd := newController()
		cmd.SetArgs(args)
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error about %q", args, err, want)
		}
	}
}
