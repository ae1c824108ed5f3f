package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// doors are the listening sockets, one for each address, port and device at which routers dial this node. Its goroutine owns
// all of them.
type doors struct {
	calls    chan call
	visits   chan visit
	sessions chan []Session
	done     chan struct{}
}

// at names a door.
type at struct {
	addr   netip.AddrPort
	device string
}

// door is one socket, with the sessions that wait for their routers.
type door struct {
	listener *net.TCPListener
	waiting  map[netip.Addr]call
	keys     map[netip.Addr]string // the passwords that the socket knows
}

// call asks for the next connection of a session's router.
type call struct {
	ctx     context.Context
	session Session
	answer  chan answer // has room for the one answer
}

type answer struct {
	conn net.Conn
	err  error
}

// visit is a connection that a socket has accepted.
type visit struct {
	at   at
	conn *net.TCPConn
}

func newDoors() *doors {
	return &doors{calls: make(chan call), visits: make(chan visit), sessions: make(chan []Session), done: make(chan struct{})}
}

func (s Session) door() at { return at{netip.AddrPortFrom(s.SourceAddress, s.Port), s.SourceInterface} }

// run opens and closes doors until ctx ends.
func (d *doors) run(ctx context.Context) {
	open := map[at]*door{}
	defer func() {
		close(d.done)
		for _, door := range open {
			door.listener.Close()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-d.calls:
			if err := d.wait(open, c); err != nil {
				c.answer <- answer{err: err}
			}
		case v := <-d.visits:
			welcome(open[v.at], v.conn)
		case sessions := <-d.sessions:
			shut(open, sessions)
		}
	}
}

// await returns the next connection that the session's router opens to this node.
func (d *doors) await(ctx context.Context, s Session) (net.Conn, error) {
	c := call{ctx, s, make(chan answer, 1)}
	select {
	case d.calls <- c:
	case <-d.done:
		return nil, because(ReasonInternal, errors.New("the listeners have stopped"))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case a := <-c.answer:
		return a.conn, a.err
	case <-d.done:
	case <-ctx.Done():
	}
	select {
	case a := <-c.answer: // it came at the last moment
		return a.conn, a.err
	default:
		return nil, because(ReasonDown, context.Canceled)
	}
}

// keep closes the doors that none of the sessions needs and forgets the passwords of others.
func (d *doors) keep(ctx context.Context, sessions []Session) {
	select {
	case d.sessions <- sessions:
	case <-d.done:
	case <-ctx.Done():
	}
}

// wait notes that a session waits, and opens its door if need be.
func (d *doors) wait(open map[at]*door, c call) error {
	s := c.session
	where := s.door()
	if open[where] == nil {
		l, err := listen(c.ctx, where)
		if err != nil {
			return because(ReasonSource, fmt.Errorf("listening on %s: %w", where.addr, err))
		}
		open[where] = &door{l, map[netip.Addr]call{}, map[netip.Addr]string{}}
		go d.accept(where, l)
	}
	if err := open[where].know(s.Address, s.Password); err != nil {
		return because(ReasonInternal, err)
	}
	open[where].waiting[s.Address.WithZone("")] = c
	return nil
}

const acceptPause = 10 * time.Millisecond

func (d *doors) accept(where at, l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Of one connection, which was gone before it was taken; or the process has too many files open, which passes.
			select {
			case <-time.After(acceptPause):
				continue
			case <-d.done:
				return
			}
		}
		select {
		case d.visits <- visit{where, conn}:
		case <-d.done:
			conn.Close()
		}
	}
}

// welcome hands a connection to the session that waits for it. Whoever else comes is turned away.
func welcome(door *door, conn *net.TCPConn) {
	if door == nil {
		conn.Close()
		return
	}
	router := addrPort(conn.RemoteAddr()).Addr().WithZone("")
	c, ok := door.waiting[router]
	delete(door.waiting, router)
	if !ok || c.ctx.Err() != nil {
		conn.Close()
		return
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error { return setHops(fd, c.session, router.Is4()) })
	}
	if err != nil {
		conn.Close()
		c.answer <- answer{err: because(ReasonInternal, err)}
		return
	}
	c.answer <- answer{conn: conn}
}

// shut closes and forgets what no session needs.
func shut(open map[at]*door, sessions []Session) {
	needed := map[at]map[netip.Addr]bool{}
	for _, s := range sessions {
		if needed[s.door()] == nil {
			needed[s.door()] = map[netip.Addr]bool{}
		}
		needed[s.door()][s.Address] = true
	}
	for where, door := range open {
		if needed[where] == nil {
			door.listener.Close()
			delete(open, where)
			continue
		}
		for router := range door.keys {
			if !needed[where][router] {
				_ = door.know(router, "") // a password too many shuts out nobody who was not to be
			}
		}
	}
}

// know makes the socket demand a router's password.
func (d *door) know(router netip.Addr, password string) error {
	if d.keys[router] == password {
		return nil
	}
	raw, err := d.listener.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error { return setMD5(fd, router, password) })
	}
	if err != nil {
		return err
	}
	d.keys[router] = password
	if password == "" {
		delete(d.keys, router)
	}
	return nil
}

// listen opens a socket. It sends with a TTL of 255, which each connection changes to its own: a router that checks it
// (RFC 5082) would not hear the answer to its first packet.
func listen(ctx context.Context, where at) (*net.TCPListener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			err := setHops(fd, Session{SecurityHops: 255}, where.addr.Addr().Is4())
			if where.device != "" {
				err = errors.Join(err, unix.BindToDevice(fd, where.device))
			}
			return err
		})
	}}
	lc.SetMultipathTCP(false) // else there are no passwords
	l, err := lc.Listen(ctx, "tcp", where.addr.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}
