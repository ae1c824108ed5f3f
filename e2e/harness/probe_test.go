package harness

import (
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name, attempts string // one letter every 10 ms: o for success, x for failure
		lasted         time.Duration
		later          int
		fails          bool
	}{
		{name: "never", attempts: "ooooooo", fails: true},
		{name: "for ever", attempts: "ooxxxxx", fails: true},
		{name: "once", attempts: "ooxxxoooo", lasted: 30 * time.Millisecond},
		{name: "and later", attempts: "oxxoxoxooo", lasted: 20 * time.Millisecond, later: 2},
		{name: "not steady yet", attempts: "oxxooxoo", fails: true, lasted: 20 * time.Millisecond, later: 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var attempts []attempt
			for i, c := range tc.attempts {
				attempts = append(attempts, attempt{began: time.Unix(0, 0).Add(time.Duration(i) * 10 * time.Millisecond), ok: c == 'o'})
			}
			got, err := silence(attempts, 3)
			if (err != nil) != tc.fails || got.Lasted != tc.lasted || got.Later != tc.later {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// TestRepeated: a first packet that got lost counts unless the control suffered at the same time.
func TestRepeated(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(seconds int, ok, repeated bool) attempt {
		return attempt{began: start.Add(time.Duration(seconds) * time.Second), ok: ok, repeated: repeated}
	}
	probe := &Probe{attempts: []attempt{at(-1, true, true), at(1, true, false), at(10, true, true), at(20, true, true), at(30, true, true)}}
	control := &Probe{attempts: []attempt{at(1, true, false), at(12, true, true), at(21, false, false), at(33, true, true)}}
	if got := probe.Repeated(start, control); len(got) != 1 || got[0] != "30000 ms" {
		t.Errorf("%v", got)
	}
}

// TestRetransmits dials a port whose queue is full: the first packet is dropped until there is room.
func TestRetransmits(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	must(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(fd, 0))
	name, err := unix.Getsockname(fd)
	must(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	first, err := net.Dial("tcp", address)
	must(t, err)
	defer func() { _ = first.Close() }()
	if n := retransmits(first); n != 0 {
		t.Errorf("%d at once", n)
	}
	dialled := make(chan net.Conn)
	go func() {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
		}
		dialled <- c
	}()
	select {
	case <-dialled:
		t.Fatal("there was room")
	case <-time.After(200 * time.Millisecond):
	}
	accepted, _, err := unix.Accept(fd)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(accepted) })
	second := <-dialled
	defer func() { _ = second.Close() }()
	if n := retransmits(second); n == 0 {
		t.Error("none, though the first packet was lost")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
