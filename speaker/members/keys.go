package members

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

var errNoKey = errors.New("the key is empty")

// keys are the AES-256 keys that the group should use: the first encrypts, all
// of them decrypt.
type keys [][]byte

// deriveKeys makes an AES-256 key out of each secret, whatever its length, and
// drops repetitions.
func deriveKeys(secrets ...[]byte) (keys, error) {
	var ks keys
	for _, secret := range secrets {
		if len(secret) == 0 {
			return nil, errNoKey
		}
		sum := sha256.Sum256(secret)
		if key := sum[:]; !ks.contain(key) {
			ks = append(ks, key)
		}
	}
	return ks, nil
}

func (ks keys) contain(key []byte) bool {
	return slices.ContainsFunc(ks, func(k []byte) bool { return bytes.Equal(k, key) })
}

func (ks keys) newRing() (*memberlist.Keyring, error) {
	ring, err := memberlist.NewKeyring(ks, ks[0])
	if err != nil {
		return nil, fmt.Errorf("making the keyring: %w", err)
	}
	return ring, nil
}

// install brings a ring in use to these keys. Keys are taken off the ring's
// end only: Keyring.RemoveKey moves the ones behind a removed key within an
// array that memberlist's goroutines are reading. With the two keys of a
// rotation nothing is taken off that is wanted.
func (ks keys) install(ring *memberlist.Keyring) error {
	var errs []error
	add := func() {
		for _, key := range ks {
			errs = append(errs, ring.AddKey(key))
		}
	}
	add()
	errs = append(errs, ring.UseKey(ks[0]))
	for unwanted(ring, ks) {
		on := ring.GetKeys()
		errs = append(errs, ring.RemoveKey(on[len(on)-1]))
	}
	add()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("installing keys: %w", err)
	}
	return nil
}

func unwanted(ring *memberlist.Keyring, ks keys) bool {
	return slices.ContainsFunc(ring.GetKeys(), func(k []byte) bool { return !ks.contain(k) })
}
