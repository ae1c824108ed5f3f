// Package router runs real routing daemons for tests, FRR and BIRD from Debian's packages, each in a network namespace that
// is there already. The packages are unpacked, not installed; the daemons see them, and files of their own, through mounts that
// nobody else sees, and all of them end with the process that started them.
package router
