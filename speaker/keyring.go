package speaker

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/members"
)

const (
	// rotationWait is for how long a step of a rotation waits for speakers that should be in the group and are not.
	rotationWait = 30 * time.Second
	// rotationLook is how often the others are looked at during a rotation.
	rotationLook = 200 * time.Millisecond
)

// keyring brings the gossip keys of this speaker from the one in the Secret before to the one that is there now, in step
// with the others and without a message lost:
//
//	(old) ─ the Secret has changed ─▶ (old, new) ─ everybody holds new ─▶ (new, old) ─ nobody leads with old ─▶ (new)
//
// The first key encrypts, all of them decrypt. What each speaker holds it tells in its facts, as digests.
type keyring struct {
	node   string
	secret func(context.Context) ([]byte, error)        // the Secret's key
	absent func(context.Context, []members.Member) bool // speakers that should be in the group are not
	group  interface{ Members() []members.Member }
	use    func(primary []byte, others ...[]byte) error
	told   func() // the keys held have changed
	log    logr.Logger

	look signal // the Secret may have changed
	held atomic.Pointer[[][]byte]

	began  time.Time // of the step that is waited for
	failed bool
}

// newKeyring starts from the Secret's key. Those held by the predecessor in this Pod are kept for those who still use them.
func newKeyring(key []byte, before [][]byte) *keyring {
	k := &keyring{look: newSignal()}
	held := [][]byte{key}
	for _, b := range before {
		if !holds(held, b) && len(b) > 0 {
			held = append(held, b)
		}
	}
	k.held.Store(&held)
	return k
}

// keys are those held, the one that encrypts first.
func (k *keyring) keys() [][]byte { return *k.held.Load() }

// digests name the keys held without giving them away, the one that encrypts first.
func (k *keyring) digests() []string {
	var out []string
	for _, key := range k.keys() {
		out = append(out, digest(key))
	}
	return out
}

func digest(key []byte) string {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte("belfry gossip key")) // documented never to fail
	return hex.EncodeToString(h.Sum(nil)[:6])
}

func (k *keyring) run(ctx context.Context) {
	for ctx.Err() == nil {
		var again <-chan time.Time
		if !k.step(ctx, time.Now()) {
			again = time.After(rotationLook)
		}
		select {
		case <-ctx.Done():
		case <-k.look:
		case <-again:
		}
	}
}

// step goes as far as it can; true means that only the Secret's key is held.
func (k *keyring) step(ctx context.Context, now time.Time) (done bool) {
	key, err := k.secret(ctx)
	if err != nil {
		if !k.failed {
			k.log.Info("Cannot read the gossip key, keeping those in use", "node", k.node, "reason", err.Error())
		}
		k.failed = true
		return len(k.keys()) == 1 // the Secret's return is an event
	}
	k.failed = false
	held := k.keys()
	if k.began.IsZero() {
		k.began = now
	}
	roster := k.group.Members()
	next := rotate(held, key, k.others(roster), len(roster) < 2 || !k.absent(ctx, roster) || now.Sub(k.began) >= rotationWait)
	if !slices.EqualFunc(held, next, bytes.Equal) {
		k.apply(next, now)
	}
	if done = len(k.keys()) == 1 && bytes.Equal(k.keys()[0], key); done {
		k.began = time.Time{}
	}
	return done
}

func (k *keyring) apply(next [][]byte, now time.Time) {
	if err := k.use(next[0], next[1:]...); err != nil {
		k.log.Error(err, "Could not change the gossip keys", "node", k.node)
		return
	}
	k.held.Store(&next)
	k.began = now
	k.log.Info("Gossip keys changed", "node", k.node, "primary", digest(next[0]), "keys", len(next))
	k.told()
}

// others returns what the other members tell of their keys, nil for one that tells nothing.
func (k *keyring) others(roster []members.Member) [][]string {
	var out [][]string
	for _, m := range roster {
		if m.Name == k.node {
			continue
		}
		var digests []string
		if f, err := decodeFacts(m.Facts); err == nil {
			digests = f.Keys
		}
		out = append(out, digests)
	}
	return out
}

// rotate returns the keys to hold next, one step on at most, given the Secret's key and the digests of the keys that the
// others hold, the one that encrypts first. gathered is false while speakers are missing that should be waited for.
//
//	hold the Secret's key            at once
//	encrypt with it                  when every member holds it, and nobody is waited for
//	give up a key that is another    when no member encrypts with it, and nobody is waited for
//
// A member that lives and has not got the Secret's key holds the rotation up for as long as it lives: to go on would cut
// it off. One that is missing is waited for until it is clear that it will not come soon; it reads the Secret when it does.
func rotate(held [][]byte, secret []byte, others [][]string, gathered bool) [][]byte {
	want := digest(secret)
	switch {
	case !holds(held, secret):
		return append(slices.Clone(held), secret)
	case !gathered:
		return held
	case !bytes.Equal(held[0], secret):
		if slices.ContainsFunc(others, func(o []string) bool { return !slices.Contains(o, want) }) {
			return held
		}
		rest := slices.DeleteFunc(slices.Clone(held), func(k []byte) bool { return bytes.Equal(k, secret) })
		return append([][]byte{secret}, rest...)
	}
	return slices.DeleteFunc(slices.Clone(held), func(k []byte) bool {
		d := digest(k)
		return d != want && !slices.ContainsFunc(others, func(o []string) bool { return len(o) == 0 || o[0] == d })
	})
}

func holds(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}
