package speaker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/members"
)

// TestRotate writes keys as letters, the one that encrypts first.
func TestRotate(t *testing.T) {
	for _, tc := range []struct {
		name, held, secret string
		others             []string
		missing            bool
		want               string
	}{
		{"nothing to do", "a", "a", []string{"a", "a"}, false, "a"},
		{"a new one", "a", "b", []string{"a", "a"}, false, "ab"},
		{"a new one while somebody is missing", "a", "b", []string{"a"}, true, "ab"},
		{"one has not got it", "ab", "b", []string{"ab", "a"}, false, "ab"},
		{"one tells nothing", "ab", "b", []string{"ab", ""}, false, "ab"},
		{"all have it", "ab", "b", []string{"ab", "ab"}, false, "ba"},
		{"all have it, one has gone on", "ab", "b", []string{"ba", "ab"}, false, "ba"},
		{"all have it, one is missing", "ab", "b", []string{"ab"}, true, "ab"},
		{"one still leads with the old", "ba", "b", []string{"ba", "ab"}, false, "ba"},
		{"nobody leads with the old", "ba", "b", []string{"ba", "ba"}, false, "b"},
		{"others have given it up", "ba", "b", []string{"b", "b"}, false, "b"},
		{"nobody leads with the old, one is missing", "ba", "b", []string{"ba"}, true, "ba"},
		{"one tells nothing at the end", "ba", "b", []string{""}, false, "ba"},
		{"alone", "ab", "b", nil, false, "ba"},
		{"changed again half-way", "ab", "c", []string{"ab", "ab"}, false, "abc"},
		{"changed again, all have it", "abc", "c", []string{"abc", "bac"}, false, "cab"},
		{"changed again, one leads with an old one", "cab", "c", []string{"cab", "bac"}, false, "cb"},
		{"changed back", "ab", "a", []string{"ab", "ab"}, false, "a"},
		{"changed back, one has gone on", "ab", "a", []string{"ba", "ab"}, false, "ab"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var others [][]string
			for _, o := range tc.others {
				var d []string
				for _, k := range o {
					d = append(d, digest([]byte(string(k))))
				}
				others = append(others, d)
			}
			got := rotate(bytes.Split([]byte(tc.held), nil), []byte(tc.secret), others, !tc.missing)
			if s := string(bytes.Join(got, nil)); s != tc.want {
				t.Errorf("holds %s, want %s", s, tc.want)
			}
		})
	}
}

// TestRotationNeverCutsAnybodyOff lets members see the Secret's changes late and each other's steps in any order: at no
// time does one encrypt with a key that another has not got, and all end with the Secret's.
func TestRotationNeverCutsAnybodyOff(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 2 + r.IntN(5)
		held, told, sees := make([][][]byte, n), make([][]string, n), make([]string, n)
		for i := range n {
			held[i], told[i], sees[i] = [][]byte{[]byte("a")}, []string{digest([]byte("a"))}, "a"
		}
		secret := "a"
		for turn := range 3000 {
			if turn < 1500 && turn%500 == 0 {
				secret = string(rune('b' + turn/500))
			}
			i := r.IntN(n)
			switch r.IntN(3) {
			case 0:
				sees[i] = secret
			case 1: // its facts go out; it has held these keys since before
				told[i] = nil
				for _, k := range held[i] {
					told[i] = append(told[i], digest(k))
				}
			default:
				others := slices.Delete(slices.Clone(told), i, i+1)
				held[i] = rotate(held[i], []byte(sees[i]), others, true)
			}
			for j := range n {
				if !holds(held[j], held[i][0]) {
					t.Fatalf("seed %d, turn %d: %d encrypts with %s, %d holds %s", seed, turn, i, held[i][0], j, held[j])
				}
			}
		}
		for i := range n {
			if string(bytes.Join(held[i], nil)) != secret {
				t.Errorf("seed %d: %d ends with %s", seed, i, held[i])
			}
		}
	}
}

func TestKeyringWaits(t *testing.T) {
	var logs logbook
	roster := []members.Member{{Name: "n1"}, {Name: "n2"}}
	group := &fakeGroup{roster: roster}
	tell := func(keys ...string) {
		f := facts{}
		for _, k := range keys {
			f.Keys = append(f.Keys, digest([]byte(k)))
		}
		b, err := f.encode()
		must(t, err)
		group.roster[1].Facts = b
	}
	var used []string
	secret, broken, missing := "old", error(nil), true
	k := newKeyring([]byte("old"), nil)
	k.node, k.group, k.log, k.told = "n1", group, logs.logger(), func() {}
	k.secret = func(context.Context) ([]byte, error) { return []byte(secret), broken }
	k.absent = func(context.Context, []members.Member) bool { return missing }
	k.use = func(primary []byte, others ...[]byte) error {
		used = append(used, string(bytes.Join(append([][]byte{primary}, others...), []byte("+"))))
		return nil
	}
	now := time.Unix(1000, 0)
	step := func(after time.Duration, done bool, want ...string) {
		t.Helper()
		now = now.Add(after)
		if got := k.step(t.Context(), now); got != done || !slices.Equal(used, want) {
			t.Fatalf("used %v, done %v, want %v, %v", used, got, want, done)
		}
	}
	tell("old")
	step(0, true)
	secret = "new"
	step(time.Hour, false, "old+new")
	tell("old", "new")
	step(0, false, "old+new")                  // n3 is missing
	step(rotationWait-1, false, "old+new")     //
	step(1, false, "old+new", "new+old")       // it has been waited for
	tell("new", "old")                         //
	step(1, false, "old+new", "new+old")       // the next step waits anew
	missing = false                            //
	broken = errors.New("away")                //
	step(1, false, "old+new", "new+old")       // the Secret is gone: all are kept
	step(1, false, "old+new", "new+old")       //
	broken = nil                               //
	step(1, true, "old+new", "new+old", "new") //
	if n := logs.count("Cannot read"); n != 1 || logs.count("\"old") != 0 {
		t.Errorf("%d lines about the Secret:\n%s", n, logs.lines)
	}
	if d := newKeyring([]byte("s"), [][]byte{[]byte("a"), []byte("s"), nil}).keys(); len(d) != 2 || string(d[0]) != "s" {
		t.Errorf("starts with %s", d)
	}
	if strings.Contains(digest([]byte("key")), "key") || digest([]byte("a")) == digest([]byte("b")) || len(digest([]byte("a"))) != 12 {
		t.Error("a digest must tell keys apart and nothing more")
	}
}

// TestRotationOnTheWire has three real groups on loopback change their key while each says something all the time. The
// Secret's change reaches them one after the other.
func TestRotationOnTheWire(t *testing.T) {
	secrets := [3]atomic.Pointer[[]byte]{}
	var groups []*members.Group
	var rings []*keyring
	pid := [2]byte{}
	binary.BigEndian.PutUint16(pid[:], uint16(os.Getpid())|0x0100)
	at := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, pid[0], pid[1], byte(i + 1)}), members.DefaultPort)
	}
	peers := map[string]netip.AddrPort{}
	old, next := []byte("the old one"), []byte("the new one")
	for i := range 3 {
		peers[fmt.Sprint("n", i)] = at(i)
		secrets[i].Store(&old)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	for i := range 3 {
		g, err := members.New(members.Options{Name: fmt.Sprint("n", i), Bind: at(i), Key: old, Profile: members.ProfileRelaxed, Log: logr.Discard()})
		must(t, err)
		g.SetPeers(peers)
		k := newKeyring(old, nil)
		k.node, k.group, k.log, k.use, k.told = fmt.Sprint("n", i), g, logr.Discard(), g.SetKeys, func() {}
		k.secret = func(context.Context) ([]byte, error) { return *secrets[i].Load(), nil }
		k.absent = func(_ context.Context, roster []members.Member) bool { return len(roster) < 3 }
		groups, rings = append(groups, g), append(rings, k)
		go func() { ended <- g.Run(ctx) }()
		go func() { k.run(ctx); ended <- nil }()
	}
	defer func() {
		cancel()
		for range 6 {
			must(t, <-ended)
		}
	}()
	round := 0
	say := func() {
		round++
		for i, g := range groups {
			b, err := facts{Keys: rings[i].digests(), Verdicts: map[string]string{"round": fmt.Sprint(round)}}.encode()
			must(t, err)
			must(t, g.Publish(b))
		}
		await(t, "everybody to hear everybody", func() bool {
			for _, g := range groups {
				roster := g.Members()
				if round > 1 && len(roster) != 3 {
					t.Fatalf("round %d: %d members", round, len(roster))
				}
				heard := 0
				for _, m := range roster {
					if f, err := decodeFacts(m.Facts); err == nil && f.Verdicts["round"] == fmt.Sprint(round) {
						heard++
					}
				}
				if heard != 3 {
					return false
				}
			}
			return true
		})
	}
	say()
	for i := range 3 {
		secrets[i].Store(&next)
		rings[i].look.raise()
		say()
	}
	await(t, "the old key to be gone everywhere", func() bool {
		say()
		return !slices.ContainsFunc(rings, func(k *keyring) bool { return len(k.keys()) != 1 || !bytes.Equal(k.keys()[0], next) })
	})
	say()
	for _, g := range groups {
		for _, m := range g.Members() {
			if m.Joins != 1 {
				t.Errorf("%s came %d times", m.Name, m.Joins)
			}
		}
	}
	t.Logf("%d rounds", round)
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}
