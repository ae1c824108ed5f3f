package l2

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// wire is one socket of one protocol on one interface. One goroutine calls serve; the owner calls the rest, also while
// serve is waiting.
type wire interface {
	// serve waits for one frame and answers it if find knows its target; it reports whether it did. An error means that the
	// socket is of no more use.
	serve(find lookup) (bool, error)
	// announce tells the neighbours about those of addrs that find knows, and returns how many frames were sent.
	announce(addrs []netip.Addr, find lookup) (int, error)
	// retarget makes the socket hear the questions for addrs and, as far as the kernel can tell, no others.
	retarget(addrs []netip.Addr) error
	// Close unblocks serve.
	Close() error
}

// unusable tells a failing socket from a frame that could not be parsed, which is dropped: only the former's errors
// come from the network stack.
func unusable(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("receiving: %w", err)
	}
	return nil
}

// batch calls send for each address that is still answered, and counts frames. The deadline keeps a stuck network card
// from holding up the owner; replies that run into it meanwhile are lost like any frame that such a card would drop.
func batch(c interface{ SetWriteDeadline(time.Time) error }, addrs []netip.Addr, find lookup, send func(netip.Addr, answer) (int, error)) (frames int, err error) {
	if err := c.SetWriteDeadline(time.Now().Add(announceTimeout)); err != nil {
		return 0, err
	}
	for _, a := range addrs {
		to, ok := find(a)
		if !ok {
			continue
		}
		n, err := send(a, to)
		frames += n
		if err != nil {
			return frames, errors.Join(err, c.SetWriteDeadline(time.Time{}))
		}
	}
	return frames, c.SetWriteDeadline(time.Time{})
}
