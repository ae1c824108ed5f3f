//go:build linux

package cluster

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// capture counts frames that a packet socket sees and that a rule picks, until the test ends.
type capture struct {
	count atomic.Int64
}

// frame is what the rule may look at.
type frame struct {
	ifindex int
	kind    byte // unix.PACKET_OUTGOING, …
	src     net.HardwareAddr
}

// startCapture listens on all interfaces of a host.
func startCapture(t *testing.T, h *Host, pick func(frame) bool) *capture {
	t.Helper()
	var fd int
	err := h.Do(func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		t.Fatalf("opening a packet socket on %s: %v", h.Name(), err)
	}
	// The reader looks every tenth of a second whether the test is over.
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		t.Fatal(err)
	}
	c, stop, stopped := &capture{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer unix.Close(fd)
		c.read(fd, pick, stop)
	}()
	t.Cleanup(func() { close(stop); <-stopped })
	return c
}

func (c *capture) read(fd int, pick func(frame) bool, stop <-chan struct{}) {
	buf := make([]byte, 2048)
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		link, ok := from.(*unix.SockaddrLinklayer)
		if err != nil || !ok || n < 14 {
			continue // the timeout, or an interface that went down
		}
		if pick(frame{link.Ifindex, link.Pkttype, net.HardwareAddr(buf[6:12])}) {
			c.count.Add(1)
		}
	}
}

// drained waits until the socket has delivered what the kernel had already given to it.
func (c *capture) drained(t *testing.T) int64 {
	t.Helper()
	last := c.count.Load()
	for quiet := 0; quiet < 3; {
		waitTick(t)
		if now := c.count.Load(); now == last {
			quiet++
		} else {
			last, quiet = now, 0
		}
	}
	return last
}

func waitTick(t *testing.T) {
	select {
	case <-t.Context().Done():
	case <-time.After(50 * time.Millisecond):
	}
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func ifindex(t *testing.T, h *Host, name string) (index int) {
	t.Helper()
	err := h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			index = ifi.Index
		}
		return err
	})
	if err != nil {
		t.Fatalf("finding %s of %s: %v", name, h.Name(), err)
	}
	return index
}

// silent fails unless nobody answers before the time is up. A refusal is an answer.
func silent(t *testing.T, from *Host, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp", addr)
	if err == nil {
		conn.Close()
		t.Errorf("%s connected to %s", from.Name(), addr)
	} else if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("%s got an answer from %s: %v", from.Name(), addr, err)
	}
}
