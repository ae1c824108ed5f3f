package bfd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func everyAuth() []Auth {
	return []Auth{
		{AuthSimple, 7, "secret"}, {AuthMD5, 7, "secret"}, {AuthMeticulousMD5, 7, "secret"},
		{AuthSHA1, 7, "secret"}, {AuthMeticulousSHA1, 7, "secret"},
	}
}

func TestVerify(t *testing.T) {
	for _, a := range everyAuth() {
		t.Run(fmt.Sprint(a), func(t *testing.T) {
			good := a.sign(wire(), 100)
			var p Packet
			if raw, err := p.Parse(good); err != nil || len(raw) != len(good) || !p.Has(FlagAuth) {
				t.Fatal(len(raw), len(good), err)
			}
			before := string(good)
			if err := a.verify(good, 3, &sequenceWindow{}); err != nil {
				t.Fatal(err)
			}
			if string(good) != before {
				t.Error("verifying changed the packet")
			}
			for i := range good { // every byte counts, those of the header only if there is a digest
				if i < headerLen && a.Type == AuthSimple || i == headerLen+3 {
					continue
				}
				bad := []byte(before)
				bad[i] ^= 1
				if a.verify(bad, 3, &sequenceWindow{}) == nil {
					t.Errorf("byte %d may be anything", i)
				}
			}
			for name, other := range map[string]Auth{
				"secret": {a.Type, 7, "Secret"}, "longer secret": {a.Type, 7, "secrets"}, "key": {a.Type, 8, "secret"},
			} {
				w := sequenceWindow{}
				if other.verify(good, 3, &w) == nil || w.known {
					t.Errorf("another %s passes", name)
				}
			}
		})
	}
}

func TestTypesDiffer(t *testing.T) {
	for _, a := range everyAuth() {
		for _, b := range everyAuth() {
			if err := b.verify(a.sign(wire(), 1), 3, &sequenceWindow{}); (err == nil) != (a == b) {
				t.Errorf("%s verified as %s: %v", a, b, err)
			}
		}
	}
}

func TestSequence(t *testing.T) {
	const last = 1<<32 - 3
	tests := []struct {
		ahead             uint32
		keyed, meticulous bool
	}{{0, true, false}, {1, true, true}, {9, true, true}, {10, false, false}, {1<<32 - 1, false, false}}
	for _, a := range everyAuth()[1:] {
		for _, tt := range tests {
			w := sequenceWindow{known: true, last: last}
			sequence := tt.ahead
			sequence += last
			err := a.verify(a.sign(wire(), sequence), 3, &w)
			want := tt.keyed
			if a.meticulous() {
				want = tt.meticulous
			}
			if (err == nil) != want || err != nil && !errors.Is(err, errAuthSequence) {
				t.Errorf("%s, %d ahead: %v", a, tt.ahead, err)
			}
			if expect := map[bool]uint32{true: sequence, false: last}[want]; w.last != expect {
				t.Errorf("%s, %d ahead: the window moved to %d", a, tt.ahead, w.last)
			}
		}
	}
}

// TestReplay: what was recorded earlier does not pass, until the peer has been silent for so long that it may begin anew.
func TestReplay(t *testing.T) {
	set := settings()
	set.Auth = Auth{AuthMeticulousSHA1, 1, "secret"}
	m, peer := newMachine(0, set, 1, seeded(1)), newMachine(0, set, 2, seeded(2))
	b := peer.encode(nil, false)
	var p Packet
	raw, err := p.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.receive(0, &p, raw); err != nil {
		t.Fatal(err)
	}
	if _, err := m.receive(ms, &p, raw); !errors.Is(err, errAuthSequence) {
		t.Errorf("a replay: %v", err)
	}
	if _, err := m.receive(2*m.detection, &p, raw); !errors.Is(err, errAuthSequence) {
		t.Errorf("a replay after twice the detection time: %v", err)
	}
	if _, err := m.receive(2*m.detection+1, &p, raw); err != nil {
		t.Errorf("a beginning: %v", err)
	}
}

// TestNewKey: with another key the peer may count anew.
func TestNewKey(t *testing.T) {
	set := settings()
	set.Auth = Auth{AuthSHA1, 1, "secret"}
	m := newMachine(0, set, 1, seeded(1))
	say := func(sequence uint32) error {
		p := peerPacket(Up)
		raw := set.Auth.sign(p.Append(nil), sequence)
		if _, err := p.Parse(raw); err != nil {
			t.Fatal(err)
		}
		_, err := m.receive(ms, &p, raw)
		return err
	}
	if err := say(1000); err != nil {
		t.Fatal(err)
	}
	if err := say(5); !errors.Is(err, errAuthSequence) {
		t.Fatal(err)
	}
	set.Auth.KeyID = 2
	m.apply(ms, set)
	if err := say(5); err != nil {
		t.Error(err)
	}
}

func TestAuthOnOneSideOnly(t *testing.T) {
	p := peerPacket(Down)
	with := settings()
	with.Auth = Auth{AuthSimple, 1, "secret"}
	m := newMachine(0, with, 1, seeded(1))
	if _, err := m.receive(0, &p, p.Append(nil)); !errors.Is(err, errAuthExpected) || m.state != Down {
		t.Errorf("%v, %s", err, m.state)
	}
	m = newMachine(0, settings(), 1, seeded(1))
	raw := with.Auth.sign(p.Append(nil), 0)
	if _, err := p.Parse(raw); err != nil {
		t.Fatal(err)
	}
	if _, err := m.receive(0, &p, raw); !errors.Is(err, errAuthUnexpected) || m.state != Down {
		t.Errorf("%v, %s", err, m.state)
	}
}

func TestSecretStaysSecret(t *testing.T) {
	a := Auth{AuthSHA1, 3, "hunter2"}
	set := settings()
	set.Auth = a
	for _, text := range []string{
		fmt.Sprint(a), fmt.Sprintf("%v %+v %#v %s", a, a, a, a), fmt.Sprintf("%v %+v %#v", set, set, set),
		fmt.Sprintf("%+v", Desired{map[Path]Settings{{}: set}}),
	} {
		if strings.Contains(text, a.Secret) {
			t.Error(text)
		}
	}
}

func TestValidate(t *testing.T) {
	edit := func(fn func(*Settings)) Settings { s := settings(); fn(&s); return s }
	tests := []struct {
		name string
		set  Settings
		ok   bool
	}{
		{"plain", settings(), true},
		{"no interval", edit(func(s *Settings) { s.MinTx = 0 }), false},
		{"too long", edit(func(s *Settings) { s.MinRx = longest + 1 }), false},
		{"no multiplier", edit(func(s *Settings) { s.Multiplier = 0 }), false},
		{"echo", edit(func(s *Settings) { s.Echo = 50 * ms }), true},
		{"negative echo", edit(func(s *Settings) { s.Echo = -1 }), false},
		{"no secret", edit(func(s *Settings) { s.Auth.Type = AuthSimple }), false},
		{"secret without a type", edit(func(s *Settings) { s.Auth.Secret = "x" }), false},
		{"long password", edit(func(s *Settings) { s.Auth = Auth{AuthSimple, 1, strings.Repeat("x", 17)} }), false},
		{"long key", edit(func(s *Settings) { s.Auth = Auth{AuthSHA1, 1, strings.Repeat("x", 20)} }), true},
		{"longer key", edit(func(s *Settings) { s.Auth = Auth{AuthSHA1, 1, strings.Repeat("x", 21)} }), false},
		{"unknown type", edit(func(s *Settings) { s.Auth = Auth{6, 1, "x"} }), false},
	}
	for _, tt := range tests {
		if err := tt.set.validate(false); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if s := edit(func(s *Settings) { s.Echo = 50 * ms }); s.validate(true) == nil {
		t.Error("echo over several hops passes")
	}
}
