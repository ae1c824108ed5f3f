// Package bfd tests speaker/bfd against the BFD of real routers, FRR and BIRD, over cables between network namespaces. The
// routers are downloaded and unpacked into the cache where the machine lacks them; nothing is installed.
package bfd
