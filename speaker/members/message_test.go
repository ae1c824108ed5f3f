package members

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var diff = cmp.AllowUnexported(meta{}, stamp{}, version{}, piece{})

func testStamp(sequence uint64, facts []byte) stamp {
	return newStamp(version{incarnation: 1_700_000_000_000_000_000, sequence: sequence}, facts)
}

func TestMeta(t *testing.T) {
	full := meta{state: Draining, software: "v1.2.3", facts: testStamp(7, []byte("facts"))}
	long := meta{software: strings.Repeat("v", 600), facts: testStamp(1<<63, make([]byte, MaxFacts))}
	cut := long
	cut.software = long.software[:maxSoftware]
	later := full.encode()
	later[1] = 200 // a state that is not known yet, and more fields
	later = append(later, "more fields"...)
	starting := full
	starting.state = Starting
	for _, tc := range []struct {
		name string
		raw  []byte
		want meta
	}{
		{"round trip", full.encode(), full},
		{"long version", long.encode(), cut},
		{"later version of the program", later, starting},
		{"none", nil, meta{}},
		{"foreign", []byte("some other program's metadata, long enough"), meta{}},
		{"cut off", full.encode()[:20], meta{}},
		{"impossible size", meta{facts: stamp{size: MaxFacts + 1}}.encode(), meta{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, decodeMeta(tc.raw), diff); d != "" {
				t.Errorf("decodeMeta (-want +got):\n%s", d)
			}
			if len(tc.raw) > 512 {
				t.Errorf("%d bytes of metadata", len(tc.raw))
			}
		})
	}
}

func TestSplit(t *testing.T) {
	for _, tc := range []struct{ size, pieces int }{
		{0, 1}, {1, 1}, {pieceBytes, 1}, {pieceBytes + 1, 2},
		{maxPieces * pieceBytes, maxPieces}, {maxPieces*pieceBytes + 1, 0},
	} {
		facts := filled(tc.size, 0)
		pieces := split("n", testStamp(1, facts), facts)
		if len(pieces) != tc.pieces {
			t.Errorf("%d bytes make %d pieces, want %d", tc.size, len(pieces), tc.pieces)
		}
		var joined []byte
		for _, p := range pieces {
			joined = append(joined, p.data...)
		}
		if pieces != nil && !bytes.Equal(joined, facts) {
			t.Errorf("%d bytes were not split into themselves", tc.size)
		}
	}
}

// A packet is 1,400 bytes less encryption, a ping beside it and the frames.
func TestPiecesFitAPacket(t *testing.T) {
	facts := filled(maxPieces*pieceBytes, 0)
	for _, p := range split(strings.Repeat("n", maxName), testStamp(1<<63, facts), facts) {
		if n := len(p.encode(kindPiece)); n > 1400-29-2-2-1 {
			t.Errorf("a piece has %d bytes", n)
		}
	}
}

func TestStateIsBounded(t *testing.T) {
	facts := filled(MaxFacts, 0)
	var wholes []piece
	for range 2 * maxState / MaxFacts {
		wholes = append(wholes, whole("n", testStamp(1, facts), facts))
	}
	raw := encodeState(wholes)
	if len(raw) > maxState+MaxFacts {
		t.Errorf("a push/pull carries %d bytes", len(raw))
	}
	got, err := decodeState(raw[1:])
	if err != nil || len(got) < maxState/MaxFacts-1 {
		t.Errorf("decodeState: %d pieces, %v", len(got), err)
	}
}

func TestStateUpToTheFirstMalformed(t *testing.T) {
	good := whole("n", testStamp(1, []byte("x")), []byte("x"))
	got, err := decodeState(append(encodeState([]piece{good})[1:], 200))
	if err == nil {
		t.Error("no error")
	}
	if d := cmp.Diff([]piece{good}, got, diff); d != "" {
		t.Errorf("decodeState (-want +got):\n%s", d)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add([]byte{})
	f.Add(meta{state: Ready, software: "v1", facts: testStamp(3, []byte("facts"))}.encode())
	f.Add([]byte{metaMagic, 255, 1, 2, 3})
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := decodeMeta(raw)
		if m.state > Draining || len(m.software) > maxSoftware || m.facts.size > MaxFacts {
			t.Fatalf("out of bounds: %+v", m)
		}
		if d := cmp.Diff(m, decodeMeta(m.encode()), diff); d != "" {
			t.Fatalf("not stable (-first +second):\n%s", d)
		}
	})
}

// FuzzMessages feeds whatever comes to the decoders and what they let pass to
// the store, which must stay within its bounds and hold only what fits its
// stamp.
func FuzzMessages(f *testing.F) {
	small, large := []byte("facts"), filled(2500, 0)
	shown := testStamp(2, small)
	f.Add(whole("n", shown, small).encode(kindWhole))
	for _, p := range split("n", testStamp(3, large), large) {
		f.Add(p.encode(kindPiece))
	}
	f.Add(encodeState([]piece{whole("n", shown, small), whole("m", testStamp(1, nil), nil)}))
	f.Add(encodeAsk("n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 {
			return
		}
		var pieces []piece
		if p, err := decodePiece(raw[1:]); err == nil {
			if d := cmp.Diff(raw[1:], p.encode(raw[0])[1:]); d != "" && !minimalDiffers(raw[1:], p) {
				t.Fatalf("encoding differs (-want +got):\n%s", d)
			}
			pieces = append(pieces, p)
		}
		more, _ := decodeState(raw[1:])
		if name, err := decodeAsk(raw[1:]); err == nil && (name == "" || len(name) > maxName) {
			t.Fatalf("a name of %d bytes", len(name))
		}
		checkStore(t, append(pieces, more...), shown)
	})
}

// minimalDiffers excuses numbers that were written longer than needed.
func minimalDiffers(raw []byte, p piece) bool {
	again, err := decodePiece(p.encode(kindPiece)[1:])
	return err == nil && cmp.Equal(p, again, diff) && len(p.encode(kindPiece))-1 < len(raw)
}

func checkStore(t *testing.T, pieces []piece, shown stamp) {
	t.Helper()
	s := newStore()
	for _, p := range pieces {
		s.accept(p, shown)
		s.accept(p, shown)
	}
	for owner, h := range s.held {
		if newStamp(h.stamp.version, h.facts) != h.stamp {
			t.Fatalf("facts of %q differ from their stamp", owner)
		}
	}
	for owner, p := range s.part {
		if len(p.pieces) > maxPieces || p.left < 1 {
			t.Fatalf("%d pieces of %q, %d left", len(p.pieces), owner, p.left)
		}
	}
}
