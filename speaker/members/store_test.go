package members

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestStoreOrder(t *testing.T) {
	one, two, three := []byte("one"), []byte("two"), []byte("three")
	s1, s2, s3 := testStamp(1, one), testStamp(2, two), testStamp(3, three)
	restarted := newStamp(version{incarnation: 5, sequence: 1}, one) // its clock was set back
	forged := s3
	forged.digest++
	for _, tc := range []struct {
		name  string
		shown stamp
		come  []piece
		want  []byte
		now   bool // current
	}{
		{"nothing published", stamp{}, nil, nil, true},
		{"nothing came", s1, nil, nil, false},
		{"what is shown", s1, []piece{whole("n", s1, one)}, one, true},
		{"older than held", s2, []piece{whole("n", s2, two), whole("n", s1, one)}, two, true},
		{"older than shown", s3, []piece{whole("n", s2, two)}, nil, false},
		{"ahead of the metadata", s1, []piece{whole("n", s2, two)}, two, false},
		{"shown but older by number", restarted, []piece{whole("n", restarted, one)}, one, true},
		{"not what the stamp says", s3, []piece{whole("n", s3, two)}, nil, false},
		{"forged, then true", s3, []piece{whole("n", forged, three), whole("n", s3, three)}, three, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore()
			for _, p := range tc.come {
				s.accept(p, tc.shown)
			}
			if got := s.facts("n", tc.shown).facts; !bytes.Equal(got, tc.want) {
				t.Errorf("facts %q, want %q", got, tc.want)
			}
			if got := s.current("n", tc.shown); got != tc.now {
				t.Errorf("current %v, want %v", got, tc.now)
			}
		})
	}
}

func TestStoreHeldThenRestartedWithClockSetBack(t *testing.T) {
	before, after := []byte("before"), []byte("after")
	old := testStamp(9, before)
	restarted := newStamp(version{incarnation: 5, sequence: 1}, after)
	s := newStore()
	s.accept(whole("n", old, before), old)
	s.accept(whole("n", restarted, after), restarted)
	if !s.current("n", restarted) {
		t.Error("the facts of the restarted member were refused")
	}
	if s.accept(whole("n", old, before), restarted) && !s.accept(whole("n", restarted, after), restarted) {
		t.Error("facts of before the restart cannot be corrected")
	}
}

// Pieces of several versions in any order, with repetitions: if all pieces of
// the shown version came, its facts are held, and never those of an older one.
func TestStoreAnyOrder(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var all []piece
		var shown stamp
		var want []byte
		for v := range uint64(4) {
			facts := filled(rnd.IntN(maxPieces*pieceBytes), byte(seed))
			st := testStamp(v+1, facts)
			all = append(all, split("n", st, facts)...)
			shown, want = st, facts
		}
		all = append(all, all[:rnd.IntN(len(all))]...)
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		s := newStore()
		for _, p := range all {
			s.accept(p, shown)
			if have := s.held["n"]; have.facts != nil && have.stamp != shown {
				t.Fatalf("seed %d: facts of version %d are held", seed, have.stamp.sequence)
			}
		}
		if !s.current("n", shown) || !bytes.Equal(s.facts("n", shown).facts, want) {
			t.Fatalf("seed %d: the shown facts are not held", seed)
		}
		if len(s.part) != 0 {
			t.Fatalf("seed %d: an unfinished heap is left", seed)
		}
	}
}

func TestStoreNews(t *testing.T) {
	facts := filled(2500, 0)
	st := testStamp(1, facts)
	s := newStore()
	pieces := split("n", st, facts)
	odd := pieces[0]
	odd.count = 2
	for i, tc := range []struct {
		p    piece
		news bool
	}{
		{pieces[0], true}, {pieces[0], false}, {odd, false}, {pieces[2], true}, {pieces[1], true}, {pieces[1], false},
	} {
		if got := s.accept(tc.p, st); got != tc.news {
			t.Errorf("piece %d in order was news: %v, want %v", i, got, tc.news)
		}
	}
}

func TestStoreForgetsTheGone(t *testing.T) {
	facts := filled(2500, 0)
	st := testStamp(1, facts)
	s := newStore()
	s.accept(whole("gone", st, facts), st)
	s.accept(split("half", st, facts)[0], st)
	s.accept(whole("stays", st, facts), st)
	s.keep(roster{"stays": {}})
	if len(s.held) != 1 || len(s.part) != 0 {
		t.Errorf("%d held, %d unfinished, want 1 and 0", len(s.held), len(s.part))
	}
}
