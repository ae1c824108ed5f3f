package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func TestParseQuickstart(t *testing.T) {
	got, err := parseQuickstart([]string{"192.0.2.10 - 192.0.2.20", "192.0.2.128/28", "192.0.2.7", "2001:db8::10-2001:db8::1f"})
	want := []v1beta1.AddressRange{"192.0.2.10-192.0.2.20", "192.0.2.128-192.0.2.143", "192.0.2.7", "2001:db8::10-2001:db8::1f"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, (-want +got):\n%s", err, diff)
	}
	for in, words := range map[string]string{
		"192.0.2.20-192.0.2.10":   "ends before it begins",
		"192.0.2.1/24":            "host bits",
		"192.0.2.1-2001:db8::1":   "mixes",
		"the upper half":          "no CIDR, no range and no address",
		"":                        "no CIDR",
		"192.0.2.10-192.0.2.2O":   "no range",
		"192.0.2.10-192.0.2.1111": "no range",
	} {
		if _, err := parseQuickstart([]string{in}); err == nil || !strings.Contains(err.Error(), words) || !strings.HasPrefix(err.Error(), "--quickstart-addresses: ") {
			t.Errorf("%q: %v, want an error about %q", in, err, words)
		}
	}
}
