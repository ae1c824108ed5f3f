package speaker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

// Pauses between two attempts, before jitter.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 2 * time.Second
)

// await tries until it works; it returns false when ctx ends first. A speaker that died instead would be restarted with
// pauses that grow to minutes.
func (s *Speaker) await(ctx context.Context, message string, try func() error) bool {
	pause := firstPause
	for told := false; ; told = true {
		err := try()
		if err == nil {
			return true
		}
		if !told && ctx.Err() == nil {
			s.o.Log.Info(message, "node", s.o.Node, "reason", err.Error())
		}
		if !sleep(ctx, jitter(pause)) {
			return false
		}
		pause = min(2*pause, longPause)
	}
}

func (s *Speaker) awaitKey(ctx context.Context) (key []byte, ok bool) {
	ok = s.await(ctx, "Waiting for the gossip key", func() (err error) {
		key, err = gossipKey(ctx, s.o.Client, s.o.Namespace)
		return err
	})
	return key, ok
}

// awaitPort waits until the group's port is free, which a predecessor on this node may still hold, and its address is on
// this node, where an IPv6 address is tentative for a second after boot.
func (s *Speaker) awaitPort(ctx context.Context) bool {
	return s.await(ctx, "Waiting for the group's port", func() error { return portFree(ctx, s.o.MembersBind) })
}

func portFree(ctx context.Context, bind netip.AddrPort) error {
	var c net.ListenConfig
	tcp, err := c.Listen(ctx, "tcp", bind.String())
	if err != nil {
		return fmt.Errorf("trying the port: %w", err)
	}
	defer func() { _ = tcp.Close() }()
	udp, err := c.ListenPacket(ctx, "udp", bind.String())
	if err != nil {
		return fmt.Errorf("trying the port: %w", err)
	}
	return udp.Close()
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// jitter adds up to a half, so that speakers that all saw the same do not act in step.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/2+1) }
