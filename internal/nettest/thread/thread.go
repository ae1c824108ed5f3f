//go:build linux

// Package thread runs functions on threads that end with them, and take along what the kernel ties to a thread: namespaces, and
// children that are to die with their parent.
package thread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Go runs f in a goroutine on a thread of its own, which ends when f returns.
func Go(f func()) {
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			f()
			return
		}
		// This is the main thread, which the runtime parks instead of ending it. Nobody else gets it while it is held.
		defer runtime.UnlockOSThread()
		started := make(chan struct{})
		Go(func() {
			close(started)
			f()
		})
		<-started
	}()
}
