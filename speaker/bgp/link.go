package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// openTime is how long a router that has accepted a connection may take for its OPEN.
const openTime = 10 * time.Second

// link is one attempt at a session and, if it comes to that, the session: it stands between GoBGP and the router.
//
//	GoBGP ◄── loopback ──► link ◄── the network ──► router
//
// GoBGP comes first: the router never sees half a session. Each OPEN is read and written anew; after that, what GoBGP sends
// goes out as it is, and what the router sends goes through wire.Filter.
type link struct {
	session   Session
	restarted bool
	inner     func(context.Context) (net.Conn, error) // to GoBGP
	outer     func(context.Context) (net.Conn, error) // to the router
	// opened is called when both ends have agreed. The link waits for it: then GoBGP has all routes.
	opened func(opened) error
	// established is called once, when the router has confirmed.
	established func()
	// took waits until GoBGP has acted on the given number of messages, if that is not more than two.
	took func(messages int)
	// word is what the router is to be told should GoBGP end the session without a word; nil for nothing.
	word func() *wire.Notification
	// hangUp brings the word with which to end the session, whatever GoBGP still has to say.
	hangUp <-chan farewell
	count  func(direction string, t wire.Type)
}

// farewell is a last word that does not wait for GoBGP.
type farewell struct {
	word wire.Notification
	// whole: the message that is being sent goes out first, however long the router takes to read it.
	whole bool
}

// opened is what the two ends have agreed on, and where they are.
type opened struct {
	agreed        wire.Session
	router        wire.Open
	local, remote netip.AddrPort
	// withheld are the routes that this session cannot carry.
	withheld map[netip.Prefix]Reason
}

// run returns what ended the session, never nil. When ctx ends, the connection is closed without a word.
func (l *link) run(ctx context.Context) error {
	inner, err := l.inner(ctx)
	if err != nil {
		return because(ReasonInternal, err)
	}
	defer inner.Close()
	outer, err := l.outer(ctx)
	if err != nil {
		return err
	}
	defer outer.Close()
	stop := context.AfterFunc(ctx, func() { outer.Close() })
	defer stop()

	in, out := newStream(inner, l.session.HoldTime), newStream(outer, l.session.HoldTime)
	// GoBGP acts on what it has been sent, and closes, before its neighbour is deleted: it leaks a goroutine for each
	// message that it does not get to.
	defer in.finish()
	defer func() { l.took(int(in.written.Load())) }()
	if err := l.greet(in, out); err != nil {
		l.part(err, out)
		return err
	}
	return l.pump(in, out)
}

// greet exchanges the OPENs.
func (l *link) greet(in, out *stream) error {
	if err := out.conn.SetReadDeadline(time.Now().Add(openTime)); err != nil {
		return because(ReasonReset, err)
	}
	offer := l.session.offer(l.restarted)
	if err := l.send(out, offer.Open.Append(nil)); err != nil {
		return err
	}
	body, err := l.expectOpen(out)
	if err != nil {
		return err
	}
	router, err := wire.ParseOpen(body)
	if err != nil {
		return refused(err)
	}
	agreed, err := offer.Check(router)
	if err != nil {
		return badOpen(err, router, offer)
	}
	if err := out.conn.SetReadDeadline(time.Time{}); err != nil {
		return because(ReasonReset, err)
	}
	out.patience = time.Duration(agreed.HoldTime) * time.Second
	if err := setUserTimeout(out.conn, out.patience); err != nil {
		return because(ReasonReset, err)
	}
	if err := l.opened(opened{
		agreed: agreed, router: router, local: addrPort(out.conn.LocalAddr()), remote: addrPort(out.conn.RemoteAddr()),
	}); err != nil {
		return because(ReasonInternal, err)
	}
	if err := in.write(agreed.Inner(router, l.session.innerASN()).Append(nil)); err != nil {
		return because(ReasonInternal, err)
	}
	return nil
}

func (l *link) expectOpen(out *stream) ([]byte, error) {
	t, body, err := out.read()
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, because(ReasonNoOpen, fmt.Errorf("the router has sent no OPEN for %s", openTime))
	case err != nil:
		return nil, classify(err)
	}
	l.count("received", t)
	switch t {
	case wire.TypeNotification:
		return nil, received(wire.ParseNotification(body))
	case wire.TypeOpen:
		return body, nil
	}
	return nil, refused(&wire.Notification{Code: wire.CodeFSM, Subcode: 1})
}

// pump passes messages on until one side ends, and returns why the session did.
func (l *link) pump(in, out *stream) error {
	outwards, inwards, hush := make(chan error, 1), make(chan error, 1), make(chan struct{})
	go func() { outwards <- l.outward(in, out, hush) }()
	go func() { inwards <- l.inward(in, out) }()
	var why error
	waits := []<-chan error{outwards, inwards} // for those that are still at it
	select {
	case why = <-outwards:
		waits = waits[1:]
	case why = <-inwards:
		waits = waits[:1]
	case f := <-l.hangUp:
		why = because(ReasonPathFailed, &f.word)
		close(hush)
		_ = in.conn.SetReadDeadline(time.Now())
		if !f.whole {
			_ = out.conn.SetWriteDeadline(time.Now()) // a write that waits for the router must not keep the word waiting
		}
		<-outwards //nolint:errcheck // it was asked to end
		waits = waits[1:]
	}
	if r, _ := reasonOf(why); r == ReasonInternal {
		// GoBGP has closed its end. If it had a last word, that is the reason, and it is still on its way.
		select {
		case why = <-waits[0]:
			waits = nil
		case <-time.After(drainTime):
		}
	}
	l.part(why, out)
	out.conn.Close()
	l.took(int(in.written.Load()))
	in.halfClose()
	if err := in.conn.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
		in.conn.Close()
	}
	for _, w := range waits {
		<-w //nolint:errcheck // only says that its connection was closed
	}
	return why
}

// part says the last word, if there is one, and makes sure that it arrives: closed at once, with something of the router's
// still unread, the connection would be reset and the word lost.
func (l *link) part(why error, out *stream) {
	var n *wire.Notification
	if !errors.As(why, &n) {
		n = l.word() // before the session is established, GoBGP just closes
	}
	if n == nil || isReceived(why) {
		return
	}
	if !isSaid(why) {
		l.say(out, *n)
	}
	out.drain()
}

func (l *link) say(out *stream, n wire.Notification) {
	if l.send(out, n.Append(nil)) == nil {
		out.halfClose()
	}
}

func (l *link) send(out *stream, b []byte) error {
	l.count("sent", wire.Type(b[wire.HeaderLen-1]))
	if err := out.write(b); err != nil {
		return classify(err)
	}
	return nil
}

// outward passes on what GoBGP says, until hush is closed. Its OPEN has been read; what comes here is its KEEPALIVEs, UPDATEs
// and last word.
func (l *link) outward(in, out *stream, hush <-chan struct{}) error {
	for {
		t, raw, err := in.readWhole()
		select {
		case <-hush:
			return nil
		default:
		}
		if err != nil {
			return because(ReasonInternal, fmt.Errorf("reading from the BGP server: %w", err))
		}
		if t == wire.TypeOpen {
			continue
		}
		if err := l.send(out, raw); err != nil {
			return err
		}
		if t == wire.TypeNotification {
			out.halfClose()
			return told(wire.ParseNotification(raw[wire.HeaderLen:]))
		}
	}
}

// inward passes on what the router says, as far as GoBGP is to hear it.
func (l *link) inward(in, out *stream) error {
	var filter wire.Filter
	confirmed := false
	for {
		t, body, err := out.read()
		if err != nil {
			return classify(err)
		}
		l.count("received", t)
		verdict, err := filter.Judge(time.Now(), t, body)
		if err != nil {
			return refused(err)
		}
		switch verdict {
		case wire.Pass:
			err = in.write(wire.Append(nil, t, body))
		case wire.StandIn:
			err = in.write(wire.Keepalive())
		case wire.Drop:
		}
		switch {
		case t == wire.TypeNotification:
			return received(wire.ParseNotification(body))
		case err != nil:
			return because(ReasonInternal, fmt.Errorf("writing to the BGP server: %w", err))
		case t == wire.TypeKeepalive && !confirmed:
			confirmed = true
			l.established()
		}
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
