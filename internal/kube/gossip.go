package kube

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// The Secret that holds the key with which speakers encrypt what they say to each other. The controller makes it in its
// own namespace when there is none and never changes it.
const (
	GossipSecret    = "belfry-memberlist" // #nosec G101 -- a name, not a credential
	GossipSecretKey = "secretkey"         // the entry of data
)

// gossipKeyBytes makes memberlist use AES-256.
const gossipKeyBytes = 32

// NewGossipKey returns the value of a new Secret: 32 random bytes in base64, so that it survives environment variables
// and editors.
func NewGossipKey() []byte {
	key := make([]byte, gossipKeyBytes)
	_, _ = rand.Read(key) // documented never to fail
	return base64.StdEncoding.AppendEncode(nil, key)
}

// ParseGossipKey returns the key in the value of a Secret: 16, 24 or 32 bytes, as AES wants them. Its errors never
// contain the value.
func ParseGossipKey(value []byte) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(value)))
	if err != nil {
		return nil, fmt.Errorf("%s of Secret %s is not base64", GossipSecretKey, GossipSecret)
	}
	switch len(key) {
	case 16, 24, 32:
		return key, nil
	}
	return nil, fmt.Errorf("%s of Secret %s holds %d bytes: 16, 24 or 32 are possible", GossipSecretKey, GossipSecret, len(key))
}
