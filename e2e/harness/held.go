package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

const (
	// chatEvery is how often a line goes out on a held connection.
	chatEvery = 50 * time.Millisecond
	// chatPatience is how long a held connection may be without an answer until it counts as lost: as long as TCP needs to
	// repeat what was lost in a few seconds of silence.
	chatPatience = 20 * time.Second
)

// Held are connections on which a line goes out and comes back again and again.
type Held struct {
	cancel context.CancelFunc
	all    []*chat
}

// Hold opens n connections to servers that echo, one server after the other, and keeps them busy.
func Hold(ctx context.Context, from *cluster.Host, n int, to ...netip.AddrPort) (*Held, error) {
	ctx, cancel := context.WithCancel(ctx)
	h := &Held{cancel: cancel}
	for i := range n {
		at := to[i%len(to)]
		conn, err := from.Dial(ctx, "tcp", at.String())
		if err != nil {
			h.Stop()
			return nil, fmt.Errorf("holding a connection to %s: %w", at, err)
		}
		c := &chat{to: at, conn: conn, done: make(chan struct{})}
		h.all = append(h.all, c)
		go c.run(ctx)
	}
	return h, nil
}

// Count returns how many were opened.
func (h *Held) Count() int { return len(h.all) }

// Lost tells of each connection that broke or answers no more.
func (h *Held) Lost(ctx context.Context) (all []error) {
	ctx, cancel := context.WithTimeoutCause(ctx, chatPatience, errors.New("no answer any more"))
	defer cancel()
	marks := make([]int, len(h.all))
	for i, c := range h.all {
		marks[i], _ = c.state()
	}
	for i, c := range h.all {
		if err := c.alive(ctx, marks[i]); err != nil {
			all = append(all, fmt.Errorf("the connection held to %s: %w", c.to, err))
		}
	}
	return all
}

// Stop closes all.
func (h *Held) Stop() {
	h.cancel()
	for _, c := range h.all {
		c.conn.Close()
		<-c.done
	}
}

// chat is one of them.
type chat struct {
	to   netip.AddrPort
	conn net.Conn
	done chan struct{}

	mu    sync.Mutex
	lines int
	err   error
}

func (c *chat) run(ctx context.Context) {
	defer close(c.done)
	tick := time.NewTicker(chatEvery)
	defer tick.Stop()
	answers := bufio.NewReader(c.conn)
	for n := 0; ; n++ {
		_, err := fmt.Fprintln(c.conn, n)
		if err == nil {
			_, err = answers.ReadString('\n')
		}
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.lines, c.err = c.lines+1, err
		c.mu.Unlock()
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *chat) state() (lines int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines, c.err
}

// alive waits for more answers than there were, two at least: the first may have been on its way.
func (c *chat) alive(ctx context.Context, lines int) error {
	var broken error
	waited := Eventually(ctx, "answers", func(context.Context) error {
		now, err := c.state()
		if broken = err; err == nil && now < lines+2 {
			return fmt.Errorf("%d lines", now-lines)
		}
		return nil
	})
	return errors.Join(broken, waited)
}
