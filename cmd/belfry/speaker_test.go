package main

import (
	"strings"
	"testing"
)

func TestParseBind(t *testing.T) {
	tests := []struct{ in, want string }{ // want "": an error
		{"192.0.2.1", "192.0.2.1:7947"},
		{"192.0.2.1:7950", "192.0.2.1:7950"},
		{"2001:db8::1", "[2001:db8::1]:7947"},
		{"[2001:db8::1]:7950", "[2001:db8::1]:7950"},
		{"::ffff:192.0.2.1", "192.0.2.1:7947"},
		{"", ""},
		{"node-1", ""},
		{"0.0.0.0", ""},
		{"::", ""},
		{"fe80::1%eth0", ""},
		{"ff02::1", ""},
		{"192.0.2.1:0", ""},
		{"192.0.2.1:http", ""},
		{"[2001:db8::1]", ""},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseBind(tt.in)
			switch {
			case tt.want == "" && (err == nil || !strings.Contains(err.Error(), "--members-bind")):
				t.Errorf("got %s and %v, want an error that names the flag", got, err)
			case tt.want != "" && (err != nil || got.String() != tt.want):
				t.Errorf("got %s and %v, want %s", got, err, tt.want)
			}
		})
	}
}

// TestSpeakerNeedsItsNode: without the name of its node a speaker could take another's place.
func TestSpeakerNeedsItsNode(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	c := newSpeaker()
	c.SetArgs([]string{"--members-bind=192.0.2.1", "--namespace=belfry-system"})
	c.SilenceErrors, c.SilenceUsage = true, true
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "--node-name") {
		t.Errorf("got %v", err)
	}
}
