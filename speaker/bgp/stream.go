package bgp

import (
	"bufio"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/belfry-lb/belfry/speaker/bgp/wire"
)

// stream is a connection that carries messages. One goroutine may read while another writes.
type stream struct {
	conn   net.Conn
	reader *bufio.Reader
	// patience is how long a write may take.
	patience time.Duration
	buf      []byte
	// written counts the messages.
	written atomic.Int32
}

func newStream(conn net.Conn, patience time.Duration) *stream {
	return &stream{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10), patience: patience, buf: make([]byte, wire.MaxLen)}
}

// read returns the next message; its body is valid until the next call, and nil for an UPDATE, which is skipped.
func (s *stream) read() (wire.Type, []byte, error) {
	t, length, err := s.header()
	if err != nil {
		return 0, nil, err
	}
	if t == wire.TypeUpdate {
		_, err := s.reader.Discard(length)
		return t, nil, err
	}
	body := s.buf[wire.HeaderLen : wire.HeaderLen+length]
	_, err = io.ReadFull(s.reader, body)
	return t, body, err
}

// readWhole returns the next message with its header, valid until the next call.
func (s *stream) readWhole() (wire.Type, []byte, error) {
	t, length, err := s.header()
	if err != nil {
		return 0, nil, err
	}
	whole := s.buf[:wire.HeaderLen+length]
	_, err = io.ReadFull(s.reader, whole[wire.HeaderLen:])
	return t, whole, err
}

func (s *stream) header() (wire.Type, int, error) {
	h := s.buf[:wire.HeaderLen]
	if _, err := io.ReadFull(s.reader, h); err != nil {
		return 0, 0, err
	}
	return wire.ParseHeader([wire.HeaderLen]byte(h))
}

func (s *stream) write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	if err == nil {
		s.written.Add(1)
	}
	return err
}

// halfClose tells the other end that nothing more comes.
func (s *stream) halfClose() {
	if tcp, ok := s.conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite() // fails if the other end has closed, which is as good
	}
}

// drainTime is how long the last word may take to arrive.
const drainTime = 500 * time.Millisecond

// drain reads until the other end has closed, too, or drainTime is over.
func (s *stream) drain() {
	if s.conn.SetReadDeadline(time.Now().Add(drainTime)) == nil {
		_, _ = io.Copy(io.Discard, s.conn) // any end will do
	}
}

// finish tells the other end that nothing more comes and waits until it has closed, too.
func (s *stream) finish() {
	s.halfClose()
	s.drain()
}
