package l2

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// announceTimeout bounds how long one batch of unasked frames may wait for a network card that does not drain its queue.
const announceTimeout = 100 * time.Millisecond

// wire is one socket of one protocol on one interface. One goroutine reads and replies; the owner calls the rest, also
// while read is waiting.
type wire interface {
	// read waits for a frame and says what it means; nothing, as often as not. An error means that the socket is of no more use.
	read() (heard, error)
	// reply answers what was asked. It does not wait: a card that does not drain its queue loses replies.
	reply(heard, answer) error
	// announce tells the neighbours about those of addrs that find knows, and returns how many frames were sent.
	announce(addrs []netip.Addr, find lookup) (int, error)
	// probe asks whether anybody has the addresses, naming none of our own, and returns how many frames were sent.
	probe(addrs []netip.Addr) (int, error)
	// hear changes what the socket lets through: the questions and claims for these addresses and, as far as the kernel can
	// tell, no others.
	hear(hearing) error
	// Close unblocks read.
	Close() error
}

// heard is what a frame says. The zero value says nothing.
type heard struct {
	from    MAC        // the station that says so
	asked   netip.Addr // the address asked for, if any
	source  netip.Addr // the address of who asks; unspecified if it has none
	probe   bool       // who asks wants the address for itself
	claimed netip.Addr // the address that from says it has, if any
}

// hearing is a change to what a socket listens for.
type hearing struct {
	asked, unasked     []netip.Addr // questions for these are to come through, for those no longer
	watched, unwatched []netip.Addr // likewise claims
}

func (h *hearing) note(a netip.Addr, was, is answer) {
	switch {
	case was.role == absent && is.role != absent:
		h.asked = append(h.asked, a)
	case was.role != absent && is.role == absent:
		h.unasked = append(h.unasked, a)
	}
	switch {
	case !was.watch && is.watch:
		h.watched = append(h.watched, a)
	case was.watch && !is.watch:
		h.unwatched = append(h.unwatched, a)
	}
}

func (h *hearing) empty() bool {
	return len(h.asked)+len(h.unasked)+len(h.watched)+len(h.unwatched) == 0
}

// port is a packet socket whose filter knows the addresses of its interface.
type port struct {
	*packet.Conn
	raw    syscall.RawConn
	filter *filter
	mac    MAC
}

// listen opens a packet socket whose filter lets nothing through yet, so that not a single foreign frame gets queued.
func listen(i Interface, p protocol, etherType int) (*port, error) {
	f := &filter{proto: p, index: i.Index}
	deaf, err := f.assemble(1)
	if err != nil {
		return nil, err
	}
	conn, err := packet.Listen(i.netInterface(), packet.Raw, etherType, &packet.Config{Filter: deaf})
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &port{Conn: conn, raw: raw, filter: f, mac: MAC(i.MAC)}, nil
}

func (p *port) hear(h hearing) error {
	p.filter.change(h)
	if err := p.filter.set(p.Conn); err != nil {
		return fmt.Errorf("setting %s filter: %w", p.filter.proto, err)
	}
	return nil
}

// offer sends a frame unless that would mean waiting.
func (p *port) offer(frame []byte) (err error) {
	refused := p.raw.Write(func(fd uintptr) bool {
		err = unix.Send(int(fd), frame, unix.MSG_DONTWAIT)
		return true
	})
	return errors.Join(refused, err)
}

// send sends a frame, if need be until batch's deadline.
func (p *port) send(frame []byte) error {
	_, err := p.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]})
	return err
}

// batch calls send for each address and counts the frames that it says it has sent. The deadline keeps a stuck network
// card from holding up the owner.
func (p *port) batch(addrs []netip.Addr, send func(netip.Addr) (int, error)) (frames int, err error) {
	if err := p.SetWriteDeadline(time.Now().Add(announceTimeout)); err != nil {
		return 0, err
	}
	for _, a := range addrs {
		n, err := send(a)
		frames += n
		if err != nil {
			return frames, errors.Join(err, p.SetWriteDeadline(time.Time{}))
		}
	}
	return frames, p.SetWriteDeadline(time.Time{})
}

// unusable tells a failing socket from a frame that could not be parsed, which is dropped: only the former's errors
// come from the network stack.
func unusable(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("receiving: %w", err)
	}
	return nil
}
