package liveness

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
)

var errNoKey = errors.New("the key is empty")

// keys are derived from the group's secrets: the first signs requests, all of them verify.
type keys [][]byte

// deriveKeys keeps the secrets out of the packets' reach: whoever breaks one of these keys has not got gossip's.
func deriveKeys(secrets ...[]byte) (keys, error) {
	var ks keys
	for _, secret := range secrets {
		if len(secret) == 0 {
			return nil, errNoKey
		}
		sum := sha256.Sum256(append([]byte("belfry liveness\x00"), secret...))
		if key := sum[:]; !slices.ContainsFunc(ks, func(k []byte) bool { return bytes.Equal(k, key) }) {
			ks = append(ks, key)
		}
	}
	if len(ks) == 0 {
		return nil, errNoKey
	}
	return ks, nil
}

// find returns the key that a packet is signed with, nil if it is none of these.
func (ks keys) find(signed, mac []byte) []byte {
	for _, k := range ks {
		if hmac.Equal(sign(nil, k, signed), mac) {
			return k
		}
	}
	return nil
}

func sign(b, key, signed []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(signed)
	return h.Sum(b)
}
