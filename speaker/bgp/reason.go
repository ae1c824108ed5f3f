package bgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// ending is an error that knows its reason.
type ending struct {
	reason Reason
	err    error
	// from says who sent the NOTIFICATION in err.
	from sender
}

type sender uint8

const (
	nobody  sender = iota // nobody yet: it is to be sent
	them                  // the router
	ourself               // GoBGP, through us
)

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

func because(r Reason, err error) error { return &ending{reason: r, err: err} }

// received is a NOTIFICATION from the router.
func received(n wire.Notification) error {
	reason := ReasonNotification
	switch {
	case n.Code == wire.CodeOpen && n.Subcode == 2:
		reason = ReasonBadPeerAS
	case n.Code == wire.CodeOpen:
		reason = ReasonOpenRefused
	case n.Code == wire.CodeCease && n.Subcode == wire.CeaseShutdown:
		reason = ReasonShutdown
	}
	return &ending{reason: reason, err: fmt.Errorf("the router says: %w", &n), from: them}
}

// refused is a NOTIFICATION that is the answer to what the router sent.
func refused(err error) error {
	reason := ReasonProtocol
	var n *wire.Notification
	if errors.As(err, &n) && n.Code == wire.CodeOpen {
		reason = ReasonOpenRefused
	}
	return because(reason, fmt.Errorf("answering the router: %w", err))
}

// badOpen is a router's OPEN that could be read and does not suit.
func badOpen(err error, router wire.Open, offer wire.Offer) error {
	var n *wire.Notification
	if !errors.As(err, &n) || n.Subcode != 2 {
		return refused(err)
	}
	want := fmt.Sprintf("AS %d", offer.PeerASN)
	switch {
	case offer.PeerASN != 0:
	case offer.Internal:
		want = fmt.Sprintf("AS %d, as this node is", offer.Open.ASN)
	default:
		want = fmt.Sprintf("an AS other than %d", offer.Open.ASN)
	}
	return because(ReasonBadPeerAS, fmt.Errorf("the router is in AS %d, not in %s: %w", router.ASN, want, err))
}

// told is a NOTIFICATION of GoBGP's that the router has been told.
func told(n wire.Notification) error {
	reason := ReasonInternal
	switch n.Code {
	case wire.CodeHoldTime:
		reason = ReasonHoldTimer
	case wire.CodeCease:
		reason = ReasonDown
	case wire.CodeHeader, wire.CodeOpen, wire.CodeFSM:
		reason = ReasonProtocol
	}
	return &ending{reason: reason, err: fmt.Errorf("told the router: %w", &n), from: ourself}
}

func isReceived(err error) bool { return from(err) == them }
func isSaid(err error) bool     { return from(err) == ourself }

func from(err error) sender {
	if e, ok := errors.AsType[*ending](err); ok {
		return e.from
	}
	return nobody
}

// classify finds the reason in what a socket says of a connection that has been up.
func classify(err error) error {
	var n *wire.Notification
	var timeout net.Error
	switch {
	case errors.As(err, &n):
		return refused(err)
	case errors.Is(err, syscall.ETIMEDOUT), errors.As(err, &timeout) && timeout.Timeout():
		return because(ReasonStalled, fmt.Errorf("the router does not take what it is sent: %w", err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return because(ReasonReset, errors.New("the router closed the connection"))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return because(ReasonReset, errors.New("the router reset the connection"))
	}
	return because(ReasonReset, err)
}

// classifyDial finds the reason in what a socket says of a connection that did not come about.
func classifyDial(s Session, err error) error {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return because(ReasonRefused, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENODEV):
		return because(ReasonSource, err)
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return because(ReasonUnreachable, err)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		if s.Password != "" {
			return because(ReasonPassword, fmt.Errorf("no answer; the router may have another password, or none: %w", err))
		}
		return because(ReasonTimeout, fmt.Errorf("no answer; the router may be off, demand a password, or be more hops away than the TTL allows: %w", err))
	}
	return because(ReasonUnreachable, err)
}

// reasonOf splits an error for a status.
func reasonOf(err error) (Reason, string) {
	if e, ok := errors.AsType[*ending](err); ok {
		return e.reason, e.Error()
	}
	return ReasonInternal, err.Error()
}
