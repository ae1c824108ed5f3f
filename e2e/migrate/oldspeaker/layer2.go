package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/mdlayher/arp"
	"github.com/mdlayher/ethernet"
	"golang.org/x/sync/errgroup"
)

const (
	uplink     = "eth0"
	membership = 7946
	lookEvery  = 100 * time.Millisecond // at who lives
	tellEvery  = time.Second            // five seconds long
	tellFor    = 5
	leaveFor   = time.Second
)

// responder answers for the addresses that this node has been elected for.
type responder struct {
	settings
	conn *arp.Client
	mac  net.HardwareAddr

	mu   sync.Mutex
	mine []netip.Addr
}

// answer answers ARP until the context ends, and leaves the other speakers politely then.
func answer(ctx context.Context, s settings) error {
	ifi, err := net.InterfaceByName(uplink)
	if err != nil {
		return err
	}
	conn, err := arp.Dial(ifi)
	if err != nil {
		return fmt.Errorf("opening the ARP socket: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	members, err := join(s)
	if err != nil {
		return err
	}
	r := &responder{settings: s, conn: conn, mac: ifi.HardwareAddr}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.read(ctx) })
	group.Go(func() error { return r.elect(ctx, members) })
	return errors.Join(group.Wait(), members.Leave(leaveFor), members.Shutdown())
}

func join(s settings) (*memberlist.Memberlist, error) {
	c := memberlist.DefaultLANConfig()
	c.Name, c.BindAddr, c.BindPort, c.AdvertisePort, c.LogOutput = s.node, s.ip.String(), membership, membership, io.Discard
	members, err := memberlist.Create(c)
	if err != nil {
		return nil, fmt.Errorf("listening for other speakers: %w", err)
	}
	return members, nil
}

// read answers requests.
func (r *responder) read(ctx context.Context) error {
	for {
		p, _, err := r.conn.Read()
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF): // a short frame
			continue
		case err == nil && p.Operation == arp.OperationRequest && r.has(p.TargetIP):
			err = r.conn.Reply(p, r.mac, p.TargetIP)
		}
		if err != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// unlessEnded returns the error, or nothing when the socket was closed because all is over.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("answering ARP: %w", err)
	}
	return nil
}

func (r *responder) has(a netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.mine, a)
}

// elect looks again and again who lives, and takes the addresses that are this node's among them.
func (r *responder) elect(ctx context.Context, members *memberlist.Memberlist) error {
	tell := map[netip.Addr]int{}   // how often the LAN is still to be told
	_, _ = members.Join(r.members) // before the first election; who is not there yet joins us
	tick, told := time.NewTicker(lookEvery), time.Now()
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, a := range r.take(winners(r.addresses, members.Members())) {
			tell[a] = tellFor
			told = time.Time{}
		}
		if time.Since(told) < tellEvery {
			continue
		}
		told = time.Now()
		for a, n := range tell {
			if n == 0 || !r.has(a) {
				delete(tell, a)
				continue
			}
			tell[a]--
			if err := r.announce(a); err != nil && ctx.Err() == nil {
				return fmt.Errorf("announcing %s: %w", a, err)
			}
		}
	}
}

// take replaces what this node answers for and returns what is new.
func (r *responder) take(winners map[netip.Addr]string) (fresh []netip.Addr) {
	var mine []netip.Addr
	for a, node := range winners {
		if node == r.node {
			mine = append(mine, a)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range mine {
		if !slices.Contains(r.mine, a) {
			fresh = append(fresh, a)
		}
	}
	r.mine = mine
	return fresh
}

// winners gives each address to the living node with the lowest number for it, of those that may have it.
func winners(addrs []address, alive []*memberlist.Node) map[netip.Addr]string {
	out := map[netip.Addr]string{}
	for _, a := range addrs {
		may := slices.DeleteFunc(slices.Clone(alive), func(n *memberlist.Node) bool { return a.only != "" && a.only != n.Name })
		if len(may) == 0 {
			continue
		}
		best := slices.MinFunc(may, func(x, y *memberlist.Node) int { return cmp.Compare(number(a.Addr, x.Name), number(a.Addr, y.Name)) })
		out[a.Addr] = best.Name
	}
	return out
}

func number(a netip.Addr, node string) uint64 {
	sum := sha256.Sum256([]byte(node + "#" + a.String()))
	return binary.BigEndian.Uint64(sum[:])
}

// announce tells the LAN, unasked, in both forms.
func (r *responder) announce(a netip.Addr) error {
	for _, op := range []arp.Operation{arp.OperationRequest, arp.OperationReply} {
		p, err := arp.NewPacket(op, r.mac, a, ethernet.Broadcast, a)
		if err != nil {
			return err
		}
		if err := r.conn.WriteTo(p, ethernet.Broadcast); err != nil {
			return err
		}
	}
	return nil
}
