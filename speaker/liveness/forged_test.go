package liveness

import (
	"bytes"
	"net"
	"testing"
)

// puppet is a target of which the test decides what it replies.
type puppet struct {
	conn  *net.UDPConn
	reply chan func(request []byte) [][]byte
}

func newPuppet(t *testing.T, i int) *puppet {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(address(i)))
	must(t, err)
	p := &puppet{conn: conn, reply: make(chan func([]byte) [][]byte)}
	ended := make(chan struct{})
	go func() { defer close(ended); p.run() }()
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	return p
}

func (p *puppet) run() {
	reply := func([]byte) [][]byte { return nil }
	b := make([]byte, 2048)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		select {
		case reply = <-p.reply:
		default:
		}
		for _, r := range reply(bytes.Clone(b[:n])) {
			_, _ = p.conn.WriteToUDPAddrPort(r, from)
		}
	}
}

// TestLiesAreNoSignOfLife has a target answer in every way but the right one.
func TestLiesAreNoSignOfLife(t *testing.T) {
	right, wrong := testKeys(t, string(secret))[0], testKeys(t, "a stranger's")[0]
	turned := func(change func(*packet), key []byte) func([]byte) [][]byte {
		return func(request []byte) [][]byte {
			r, _, _, _ := decode(request)
			r = r.reply()
			change(&r)
			return [][]byte{r.encode(nil, key)}
		}
	}
	truth := turned(func(*packet) {}, right)
	var first []byte // the reply to the first request
	for i, tc := range []struct {
		name, reason string
		reply        func([]byte) [][]byte
	}{
		{"signed with another key", droppedAuthentication, turned(func(*packet) {}, wrong)},
		{"the request itself", droppedMalformed, func(r []byte) [][]byte { return [][]byte{r} }},
		{"the request, signed as its reply", droppedMalformed, turned(func(p *packet) { *p = p.reply(); p.kind = kindRequest }, right)},
		{"of another node", droppedForeign, turned(func(p *packet) { p.from = "c" }, right)},
		{"for another node", droppedForeign, turned(func(p *packet) { p.to = "c" }, right)},
		{"to another prober's request", droppedUnexpected, turned(func(p *packet) { p.nonce[0]++ }, right)},
		{"to a request that was not sent", droppedUnexpected, turned(func(p *packet) { p.sequence++ }, right)},
		{"to a request of long ago", droppedUnexpected, turned(func(p *packet) { p.sequence -= window }, right)},
		{"the same reply again and again", droppedUnexpected, func(r []byte) [][]byte {
			if first == nil {
				first = truth(r)[0]
			}
			return [][]byte{first}
		}},
		{"garbage", droppedMalformed, func([]byte) [][]byte { return [][]byte{{}, []byte("?"), make([]byte, 1400)} }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := start(t, "a", address(2*i)), newPuppet(t, 2*i+1)
			probe(a, "b", address(2*i+1))
			b.reply <- truth
			a.becomes(t, "b", Answering)
			b.reply <- tc.reply
			a.becomes(t, "b", Silent)
			if value(t, a.metrics.dropped.WithLabelValues(tc.reason)) < 3 {
				t.Errorf("few packets were dropped as %s", tc.reason)
			}
			// The truth, with as many lies, is a sign of life at once.
			b.reply <- func(r []byte) [][]byte { return append(tc.reply(r), truth(r)...) }
			a.becomes(t, "b", Answering)
		})
	}
}

// TestOnlyRequestsAreAnswered sends a responder what deserves no reply, then something that does.
func TestOnlyRequestsAreAnswered(t *testing.T) {
	start(t, "b", address(1))
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(address(0)), net.UDPAddrFromAddrPort(address(1)))
	must(t, err)
	defer func() { _ = conn.Close() }()
	key := testKeys(t, string(secret))[0]
	good := packet{kind: kindRequest, sequence: 1, from: "a", to: "b"}
	other, reply, odd := good, good.reply(), good
	other.to, reply.to, odd.kind = "c", "b", 9
	first := good.encode(nil, key)
	eventually(t, "the responder to be there", func() bool { _, err := conn.Write(first); return err == nil && read(conn) != nil })
	for _, bad := range [][]byte{
		[]byte("?"), make([]byte, 1400), good.encode(nil, testKeys(t, "a stranger's")[0]), other.encode(nil, key),
		reply.encode(nil, key), odd.encode(nil, key),
	} {
		_, err := conn.Write(bad)
		must(t, err)
	}
	last := good
	last.sequence++
	request := last.encode(nil, key)
	_, err = conn.Write(request)
	must(t, err)
	got := read(conn)
	if r, _, _, ok := decode(got); !ok || r != last.reply() {
		t.Errorf("the next reply is %+v", r)
	}
	if len(got) > len(request) {
		t.Errorf("%d bytes answer %d: a forged sender would be flooded by it", len(got), len(request))
	}
}

// read returns nil when the port is refused.
func read(conn *net.UDPConn) []byte {
	b := make([]byte, 2048)
	n, err := conn.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}
