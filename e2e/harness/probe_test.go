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

func TestSilent(t *testing.T) {
	for attempts, want := range map[string]time.Duration{ // o at the first try, r at a later one, x never
		"oooo": 0, "oorooo": 10 * time.Millisecond, "orrxoxoo": 30 * time.Millisecond, "oroxxoo": 20 * time.Millisecond, "ooxxx": 20 * time.Millisecond,
	} {
		var all []attempt
		for i, c := range attempts {
			a := attempt{began: time.Unix(0, 0).Add(time.Duration(i) * 10 * time.Millisecond), ok: c != 'x'}
			if c == 'r' {
				a.repeats = 1
			}
			all = append(all, a)
		}
		if got := silent(all); got != want {
			t.Errorf("%s: %v, want %v", attempts, got, want)
		}
	}
}

// TestRepeated: a first packet that got lost counts unless the control suffered at the same time.
func TestRepeated(t *testing.T) {
	start := time.Unix(1000, 0)
	at := func(seconds int, ok bool, repeated int) attempt {
		return attempt{began: start.Add(time.Duration(seconds) * time.Second), ok: ok, repeats: repeated}
	}
	probe := &Probe{attempts: []attempt{at(-1, true, 1), at(1, true, 0), at(10, true, 1), at(20, true, 1), at(30, true, 1)}}
	control := &Probe{attempts: []attempt{at(1, true, 0), at(12, true, 1), at(21, false, 0), at(33, true, 1)}}
	if got := probe.Repeated(start, control); len(got) != 1 || got[0] != "30000 ms" {
		t.Errorf("%v", got)
	}
}

// TestTally: a connection that was reset had been open.
func TestTally(t *testing.T) {
	start := time.Unix(0, 0)
	after := start.Add(time.Second)
	probe := &Probe{attempts: []attempt{
		{began: after, ok: true}, {began: after, ok: true, reply: unix.ECONNRESET},
		{began: after, err: &net.OpError{Op: "dial", Err: unix.ECONNRESET}}, {began: after, err: unix.ECONNREFUSED},
	}}
	if got := probe.Tally(start); got.Connects != 4 || got.Lost() != 1 || got.Failed["refused"] != 1 || got.Cut["reset"] != 2 {
		t.Errorf("%s", got)
	}
}

// TestRepeats dials a port whose queue is full: the first packet is dropped until there is room.
func TestRepeats(t *testing.T) {
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
	if n := repeats(first); n != 0 {
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
	if n := repeats(second); n == 0 {
		t.Error("none, though the first packet was lost")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
