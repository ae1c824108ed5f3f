//go:build linux

package thread_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest/thread"
)

// TestGo: the threads are not the main one, which goroutines get all the time where there is little else for it to do, and they end.
func TestGo(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	threads := map[int]bool{}
	for range 2000 {
		id := make(chan int)
		thread.Go(func() { id <- unix.Gettid() })
		threads[<-id] = true
	}
	if threads[unix.Getpid()] {
		t.Error("one ran on the main thread")
	}
	for id := range threads {
		for deadline := time.Now().Add(time.Minute); ; {
			_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", id))
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("thread %d is still there", id)
			}
			runtime.Gosched()
		}
	}
}
