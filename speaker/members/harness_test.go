package members

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

const patience = 30 * time.Second // for a condition; only a failure waits that long

var secret = []byte("the key of the group, of any length")

// cluster is a number of members in this process.
type cluster struct {
	t       *testing.T
	fabric  *fabric // nil: real sockets on loopback addresses
	members []*member
}

type member struct {
	*Group
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
	log    *lines
}

func newCluster(t *testing.T, f *fabric) *cluster {
	t.Helper()
	c := &cluster{t: t, fabric: f}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.SetStopMode(StopVanish)
			m.cancel()
		}
		for _, m := range c.members {
			if <-m.ended; m.err != nil {
				t.Errorf("%s: Run: %v", m.opts.Name, m.err)
			}
		}
		// Memberlist's own goroutines end after Shutdown returned, at the
		// latest with the timeout of a stream.
		eventually(t, "all goroutines to end", func() bool { return goleak.Find() == nil })
	})
	return c
}

// address of the i-th member. Processes that test at the same time use other
// loopback addresses.
func (c *cluster) address(i int) netip.AddrPort {
	a := [4]byte{127, 0, 0, byte(i + 1)}
	binary.BigEndian.PutUint16(a[1:], uint16(os.Getpid())|0x0100)
	return netip.AddrPortFrom(netip.AddrFrom4(a), DefaultPort)
}

// start runs a member; the functions change its options or timings before.
func (c *cluster) start(i int, with ...any) *member {
	c.t.Helper()
	m := &member{ended: make(chan struct{}), log: &lines{}}
	o := Options{
		Name: fmt.Sprintf("n%02d", i), Bind: c.address(i), Key: secret, Version: "v1.2.3",
		Log: m.log.logger(), Registerer: prometheus.NewRegistry(), JoinWindow: time.Hour,
	}
	for _, w := range with {
		if f, ok := w.(func(*Options)); ok {
			f(&o)
		}
	}
	if c.fabric != nil {
		o.transport = c.fabric.port(o.Bind)
	}
	g, err := New(o)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, w := range with {
		if f, ok := w.(func(*Group)); ok {
			f(g)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.Group, m.cancel = g, cancel
	go func() { m.err = g.Run(ctx); close(m.ended) }()
	c.members = append(c.members, m)
	return m
}

// started runs n members that know each other's addresses.
func (c *cluster) started(n int, with ...any) []*member {
	c.t.Helper()
	for i := range n {
		c.start(i, with...).SetPeers(c.peers(n))
	}
	c.agree(n)
	return c.members
}

func (c *cluster) peers(n int) map[string]netip.AddrPort {
	peers := map[string]netip.AddrPort{}
	for i := range n {
		peers[fmt.Sprintf("n%02d", i)] = c.address(i)
	}
	return peers
}

// agree waits until every running member sees n members.
func (c *cluster) agree(n int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("%d members everywhere", n), func(m *member) bool { return len(m.Members()) == n })
}

// eventually waits until the condition holds on every running member.
func (c *cluster) eventually(what string, holds func(*member) bool) {
	c.t.Helper()
	for _, m := range c.members {
		if m.running() {
			eventually(c.t, what+" at "+m.opts.Name, func() bool { return holds(m) })
		}
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func (m *member) running() bool {
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

func (m *member) kill() {
	m.SetStopMode(StopVanish)
	m.cancel()
	<-m.ended
}

// sees returns what this member knows of another.
func (m *member) sees(name string) (Member, bool) {
	for _, o := range m.Members() {
		if o.Name == name {
			return o, true
		}
	}
	return Member{}, false
}

func (m *member) hasFacts(name string, facts []byte) bool {
	o, ok := m.sees(name)
	return ok && o.Current && bytes.Equal(o.Facts, facts)
}

func value(t *testing.T, metric prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	if err := metric.Write(&d); err != nil {
		t.Fatal(err)
	}
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

// lines keeps a member's log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) logger() logr.Logger {
	return funcr.New(func(prefix, args string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.text.WriteString(prefix + args + "\n")
	}, funcr.Options{Verbosity: 9})
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lines) has(s string) bool { return strings.Contains(l.String(), s) }

func filled(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7) ^ byte(i>>8) ^ seed
	}
	return b
}
