package kube

import (
	"crypto/rand"
	"encoding/base64"
)

// The Secret that holds the key with which speakers encrypt what they say to each other. The controller makes it in its
// own namespace when there is none, also after somebody has deleted it, and never changes it.
const (
	GossipSecret    = "belfry-memberlist" // #nosec G101 -- a name, not a credential
	GossipSecretKey = "secretkey"         // the entry of data
)

// gossipKeyBytes is as strong as the AES-256 key that the speakers derive from it.
const gossipKeyBytes = 32

// NewGossipKey returns the value of a new Secret: 32 random bytes in base64, so that it survives environment variables
// and editors.
func NewGossipKey() []byte {
	key := make([]byte, gossipKeyBytes)
	_, _ = rand.Read(key) // documented never to fail
	return base64.StdEncoding.AppendEncode(nil, key)
}
