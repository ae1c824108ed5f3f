package liveness

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// window is how many requests back a reply still counts: at least as long as it takes to become Silent, so that a slow
// target is not taken for one that is away.
const window = 2 * misses

// target is one probed node. Its fields are the prober's; nonce, name and conn of a link are the reader's, too.
type target struct {
	name  string
	addr  netip.AddrPort
	link  *link // nil while there is no socket
	judge judge
	since time.Time
	told  bool // that there is no socket

	sequence uint64            // of the last request that left
	sent     [window]time.Time // when the last requests left, zero once answered
	waiting  bool              // the last request left and had no reply
	unsent   bool              // the last request could not leave
	knocking bool              // a connection is being tried
}

// link is one connected socket, by which the kernel says who refuses.
type link struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	nonce [nonceLen]byte
}

func dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (*link, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Control: urgent}
	opened, err := d.DialContext(ctx, "udp", to.String())
	if err != nil {
		return nil, err
	}
	l := &link{conn: opened.(*net.UDPConn)}
	if l.raw, err = l.conn.SyscallConn(); err != nil {
		return nil, errors.Join(err, l.conn.Close())
	}
	_, _ = rand.Read(l.nonce[:]) // documented never to fail
	return l, nil
}

// take reads what waits in the socket, without waiting for more and without disturbing the reader, who may be asleep.
func (l *link) take(b []byte) (n int, err error) {
	outer := l.raw.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), b, syscall.MSG_DONTWAIT)
	})
	return n, errors.Join(outer, err)
}

func refusal(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// passing tells of errors that say something of earlier packets, or of nothing, and leave the socket as it was.
func passing(err error) bool {
	for _, e := range []error{
		syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENOBUFS, syscall.EAGAIN,
		syscall.EPERM, syscall.EMSGSIZE, syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EACCES, syscall.EINTR,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// answered books a reply; false if no request waits for it.
func (t *target) answered(sequence uint64, now time.Time) (roundTrip time.Duration, ok bool) {
	if sequence > t.sequence || t.sequence-sequence >= window {
		return 0, false
	}
	at := &t.sent[sequence%window]
	if at.IsZero() {
		return 0, false
	}
	roundTrip = now.Sub(*at)
	*at = time.Time{}
	t.waiting = t.waiting && sequence != t.sequence
	t.judge.answer()
	return roundTrip, true
}

// left books a request.
func (t *target) left(now time.Time) {
	t.sent[t.sequence%window] = now
	t.waiting, t.unsent = true, false
}
