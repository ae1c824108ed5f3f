package controllers

import (
	"testing"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// TestUntoldPeer: where a speaker has too many peers to tell of all, that is what is said of one that it does not name.
func TestUntoldPeer(t *testing.T) {
	for left, want := range map[int32]string{
		0: "its speaker says nothing of it yet",
		7: "its speaker has too many peers to tell of all: 7 are left out",
	} {
		s := speakerStatus("n1", func(s *v1beta1.SpeakerStatusStatus) { s.Omitted.BGPPeers = left })
		r := &routing{counted: map[string]*v1beta1.SpeakerStatus{"n1": &s}}
		if reason, message := r.session("n1", "tor"); reason != reasonNotYetUp || message != want {
			t.Errorf("session: %s %q, want %q", reason, message, want)
		}
		if reason, message := r.path("n1", "tor"); reason != reasonPathDown || message != want {
			t.Errorf("path: %s %q, want %q", reason, message, want)
		}
	}
}
