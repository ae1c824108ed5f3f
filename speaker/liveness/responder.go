package liveness

import (
	"context"
	"net"
	"syscall"
	"time"
)

// retry is the pause before a socket that could not be opened, or failed, is opened again.
const retry = 200 * time.Millisecond

// responder answers requests. It does nothing else, so that a reply never waits for anything of ours.
type responder struct {
	d    *Detector
	told bool
}

func (r *responder) run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := r.serve(ctx); ctx.Err() == nil {
			r.tell(err)
			pause(ctx, retry)
		}
	}
}

// tell logs the first failure in a row.
func (r *responder) tell(err error) {
	r.d.metrics.failures.Inc()
	if !r.told {
		r.d.opts.Log.Info("Cannot answer liveness probes, trying again", "address", r.d.opts.Bind, "reason", err.Error())
	}
	r.told = true
}

func (r *responder) serve(ctx context.Context) error {
	c := net.ListenConfig{Control: urgent}
	opened, err := c.ListenPacket(ctx, "udp", r.d.opts.Bind.String())
	if err != nil {
		return err
	}
	conn := opened.(*net.UDPConn)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	var in, out [maxPacket + 1]byte // a longer packet is seen to be too long
	for {
		n, from, err := conn.ReadFromUDPAddrPort(in[:])
		if err != nil {
			return err
		}
		r.told = false
		reply := r.d.answerTo(in[:n], out[:0])
		if reply == nil {
			continue
		}
		// What cannot be sent is lost; the next request comes soon.
		if _, err := conn.WriteToUDPAddrPort(reply, from); err == nil {
			r.d.metrics.answered.Inc()
		}
	}
}

// answerTo appends the reply to b, which must be empty; nil if the packet deserves none.
func (d *Detector) answerTo(request, b []byte) []byte {
	p, signed, mac, ok := decode(request)
	switch {
	case !ok || p.kind != kindRequest:
		d.metrics.drop(droppedMalformed)
		return nil
	case p.to != d.opts.Name:
		d.metrics.drop(droppedForeign)
		return nil
	}
	key := d.keys.Load().find(signed, mac)
	if key == nil {
		d.metrics.drop(droppedAuthentication)
		return nil
	}
	return p.reply().encode(b, key)
}

// urgent marks a socket's packets as network control (DSCP CS6, RFC 4594 §3.1), which a busy network drops last. A
// kernel that does not let us is no reason to stay silent.
func urgent(network, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		if network == "udp6" {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, classSelector6)
			return
		}
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, classSelector6)
	})
}

const classSelector6 = 48 << 2

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
