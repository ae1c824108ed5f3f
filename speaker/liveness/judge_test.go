package liveness

import (
	"strings"
	"testing"
	"time"
)

// TestJudge tells stories: + is a reply, x a refusal, - an interval without a reply, . one in which no request could
// leave; the states after each are named by their first letters.
func TestJudge(t *testing.T) {
	held := misses + int(refusalGap/(80*time.Millisecond))
	for _, tc := range []struct{ name, story, want string }{
		{"never heard of", "--------x-x-------", "UUUUUUUUUUUUUUUUUU"},
		{"answers", "+++", "AAA"},
		{"loses four", "+----+----+", "AAAAAAAAAAA"},
		{"power cut", "+-----", "AAAAAS"},
		{"cut, and back", "+-------+-----+", "AAAAASSSAAAAASA"},
		{"killed", "+x-x-x-", "AARRRRR"},
		{"killed, and back", "+x-+", "AARA"},
		{"refusals of a stranger while it answers", "+x+x+x+----", "AAAAAAAAAAA"},
		{"a refusal that came before the reply", "+x+-----", "AAAAAAAS"},
		{"killed; its kernel answers once a second", "+x------------x------------x-", "AARRRRRRRRRRRRRRRRRRRRRRRRRRR"},
		{"killed, then power cut", "+x" + strings.Repeat("-", held), "AA" + strings.Repeat("R", held-1) + "S"},
		{"power cut, rebooting", "+-----x-x-+", "AAAAASSRRRA"},
		{"own network away", "+....", "AAAAA"},
		{"own network away for long", "+.....", "AAAAAU"},
		{"own network flaps", "+....-....-", "AAAAAAAAAAA"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var j judge
			var got strings.Builder
			for _, event := range tc.story {
				switch event {
				case '+':
					j.answer()
				case 'x':
					j.refuse()
				case '-':
					j.miss(80 * time.Millisecond)
				case '.':
					j.blinded()
				}
				got.WriteString(strings.ToUpper(j.state.String()[:1]))
			}
			if got.String() != tc.want {
				t.Errorf("%s\nbecomes %s\nwant    %s", tc.story, got.String(), tc.want)
			}
		})
	}
}

// Profiles keep their order, and all of them keep the budget of their name.
func TestProfiles(t *testing.T) {
	var last time.Duration
	for p, budget := range map[Profile]time.Duration{ProfileFast: 300 * time.Millisecond, ProfileDefault: 500 * time.Millisecond} {
		interval, ok := p.interval()
		if latest := (misses + 1) * interval; !ok || latest > budget {
			t.Errorf("%s: a power cut is noticed after up to %s, want %s", p, latest, budget)
		}
	}
	for _, p := range []Profile{ProfileFast, ProfileDefault, ProfileRelaxed} {
		interval, ok := p.interval()
		if !ok || interval <= last {
			t.Errorf("%s: %s, not longer than the profile before", p, interval)
		}
		last = interval
	}
	standard, _ := ProfileDefault.interval()
	if empty, ok := Profile("").interval(); !ok || empty != standard {
		t.Error("no profile is not the default one")
	}
	if _, ok := Profile("hasty").interval(); ok {
		t.Error("hasty is a profile")
	}
}
