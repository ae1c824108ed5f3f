package bfd

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wire is a packet as FRR sends one: Up, final, multiplier 3, 50 ms both ways, echo every 50 ms.
func wire() []byte {
	return []byte{
		0x20, 0xd0, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50,
	}
}

func TestParse(t *testing.T) {
	want := Packet{
		State: Up, Flags: FlagFinal, Multiplier: 3, MyDiscr: 7, YourDiscr: 9,
		DesiredTx: 50 * time.Millisecond, RequiredRx: 50 * time.Millisecond, RequiredEcho: 50 * time.Millisecond,
	}
	var got Packet
	b, err := got.Parse(append(wire(), "trailing"...))
	if err != nil || len(b) != headerLen {
		t.Fatal(len(b), err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if b := got.Append(nil); !bytes.Equal(b, wire()) {
		t.Errorf("encoded as %x", b)
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(b []byte) []byte
		want error
	}{
		{"nothing", func([]byte) []byte { return nil }, ErrShort},
		{"too short", func(b []byte) []byte { return b[:23] }, ErrShort},
		{"version 0", func(b []byte) []byte { b[0] = 0; return b }, ErrVersion},
		{"version 2", func(b []byte) []byte { b[0] = 0x40; return b }, ErrVersion},
		{"length beyond the payload", func(b []byte) []byte { b[3] = 25; return b }, ErrShort},
		{"length below the header", func(b []byte) []byte { b[3] = 23; return b }, ErrShort},
		{"authenticated without a section", func(b []byte) []byte { b[1] |= 4; return b }, ErrShort},
		{"multiplier 0", func(b []byte) []byte { b[2] = 0; return b }, ErrMultiplier},
		{"multipoint", func(b []byte) []byte { b[1] |= 1; return b }, ErrMultipoint},
		{"no discriminator", func(b []byte) []byte { b[7] = 0; return b }, ErrDiscr},
		{"up without ours", func(b []byte) []byte { b[11] = 0; return b }, ErrNoSession},
		{"init without ours", func(b []byte) []byte { b[1], b[11] = 0x80, 0; return b }, ErrNoSession},
	}
	for _, tt := range tests {
		var p Packet
		if _, err := p.Parse(tt.edit(wire())); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, state := range []byte{0x00, 0x40} { // AdminDown and Down may come without ours
		b := wire()
		b[1], b[11] = state, 0
		var p Packet
		if _, err := p.Parse(b); err != nil {
			t.Errorf("state byte %x: %v", state, err)
		}
	}
}

func TestAppendCuts(t *testing.T) {
	p := Packet{DesiredTx: 1<<63 - 1, RequiredRx: -1, RequiredEcho: 1999 * time.Nanosecond}
	var got Packet
	p.Multiplier, p.MyDiscr = 1, 1
	if _, err := got.Parse(p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	if got.DesiredTx != longest || got.RequiredRx != 0 || got.RequiredEcho != time.Microsecond {
		t.Errorf("%+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(wire())
	f.Add(Auth{AuthMeticulousSHA1, 1, "secret"}.sign(wire(), 5))
	f.Add(Auth{AuthSimple, 1, "secret"}.sign(wire(), 5))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		raw, err := p.Parse(b)
		if err != nil {
			return
		}
		if len(raw) > len(b) || len(raw) < headerLen {
			t.Fatalf("%d of %d bytes", len(raw), len(b))
		}
		again := p.Append(nil)
		if again[3] = raw[3]; !bytes.Equal(again, raw[:headerLen]) {
			t.Errorf("%x was encoded as %x", raw[:headerLen], again)
		}
		for kind := AuthNone; kind <= AuthMeticulousSHA1; kind++ {
			set := settings()
			set.Auth = Auth{Type: kind, KeyID: 1, Secret: "secret"}
			m := newMachine(0, set, 9, seeded(1))
			_, _ = m.receive(0, &p, raw)
			m.expire(m.next())
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte{20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 255, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		var m Meta
		m.parse(b)
	})
}

func FuzzEcho(f *testing.F) {
	f.Add((&session{machine: &machine{discr: 5}, token: 6}).encodeEcho(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if discr, token, ok := parseEcho(b); ok {
			again := (&session{machine: &machine{discr: discr}, token: token}).encodeEcho(nil)
			if !bytes.Equal(again, b[:echoLen]) {
				t.Errorf("%x was encoded as %x", b, again)
			}
		}
	})
}

func TestCodecAllocatesNothing(t *testing.T) {
	room := make([]byte, 0, maxLen)
	for kind := AuthNone; kind <= AuthMeticulousSHA1; kind++ {
		set := settings()
		if kind != AuthNone {
			set.Auth = Auth{kind, 1, "sixteen bytes ok"}
		}
		us, them := newMachine(0, set, 1, seeded(1)), newMachine(0, set, 2, seeded(2))
		if n := testing.AllocsPerRun(100, func() { passPacket(us, them, room) }); n != 0 {
			t.Errorf("authentication %d: %v allocations for each packet", kind, n)
		}
	}
}

func passPacket(from, to *machine, room []byte) {
	b := from.encode(room, false)
	var p Packet
	raw, err := p.Parse(b)
	if err != nil {
		panic(err)
	}
	if _, err := to.receive(to.lastRx+1, &p, raw); err != nil {
		panic(err)
	}
}

func BenchmarkParse(b *testing.B) {
	packet := wire()
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	var p Packet
	if _, err := p.Parse(wire()); err != nil {
		b.Fatal(err)
	}
	room := make([]byte, 0, maxLen)
	b.ReportAllocs()
	for b.Loop() {
		p.Append(room)
	}
}

// BenchmarkPacket is one packet from machine to machine: encoded, signed, parsed, verified, acted upon.
func BenchmarkPacket(b *testing.B) {
	for name, kind := range map[string]AuthType{"plain": AuthNone, "password": AuthSimple, "md5": AuthMeticulousMD5, "sha1": AuthMeticulousSHA1} {
		b.Run(name, func(b *testing.B) {
			set := settings()
			if kind != AuthNone {
				set.Auth = Auth{kind, 1, "secret"}
			}
			us, them := newMachine(0, set, 1, seeded(1)), newMachine(0, set, 2, seeded(2))
			room := make([]byte, 0, maxLen)
			b.ReportAllocs()
			for b.Loop() {
				passPacket(us, them, room)
			}
		})
	}
}
