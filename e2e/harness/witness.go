package harness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/mdlayher/arp"
	"github.com/mdlayher/ndp"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// askEvery is the rhythm in which a witness that asks does so, for each address.
const askEvery = 10 * time.Millisecond

// Witness takes down what a host on the LAN is told about addresses.
type Witness struct {
	cancel context.CancelFunc
	parts  sync.WaitGroup
	fd     int
	host   *cluster.Host
	link   *net.Interface
	addrs  []netip.Addr

	mu     sync.Mutex
	sights []Sight
	err    error
}

// StartWitness listens on a host for these addresses. With asks it asks the LAN for each of them every 10 ms: its answers show who
// would get the packets of a host that knows nothing yet. A host with connections of its own should only listen, since
// an answer sets its kernel right, too.
func StartWitness(ctx context.Context, host *cluster.Host, asks bool, addrs ...netip.Addr) (*Witness, error) {
	w := &Witness{host: host, addrs: addrs}
	if err := host.Do(w.open); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", host.Name(), err)
	}
	ctx, w.cancel = context.WithCancel(ctx)
	w.parts.Go(func() { w.listen(ctx) })
	if asks {
		questions, err := w.questions()
		if err != nil {
			w.Stop()
			return nil, fmt.Errorf("making questions: %w", err)
		}
		w.parts.Go(func() { w.ask(ctx, questions) })
	}
	return w, nil
}

// Stop ends it. What it has seen stays.
func (w *Witness) Stop() {
	w.cancel()
	w.parts.Wait()
	_ = unix.Close(w.fd)
}

// Sights returns what was told of an address after a moment, in the order in which it came.
func (w *Witness) Sights(a netip.Addr, after time.Time) (all []Sight, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sights {
		if s.Addr == a && s.At.After(after) {
			all = append(all, s)
		}
	}
	return all, w.err
}

// open makes a packet socket that sees ARP and ICMPv6 only, with the kernel's clock on every frame.
func (w *Witness) open() (err error) {
	if w.link, err = net.InterfaceByName("eth0"); err != nil {
		return err
	}
	if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherARP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv6, SkipTrue: 3},
		bpf.LoadAbsolute{Off: etherHeader + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMPv6, SkipTrue: 1},
		bpf.RetConstant{Val: 2048},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(filter))
	for i, f := range filter {
		program[i] = unix.SockFilter{Code: f.Op, Jt: f.Jt, Jf: f.Jf, K: f.K}
	}
	return errors.Join(
		unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}),
		unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20),
		unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}), // to look whether it is over
		unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: w.link.Index}),
	)
}

func bigEndian(v uint16) uint16 { return v<<8 | v>>8 }

func (w *Witness) listen(ctx context.Context) {
	frame, control := make([]byte, 2048), make([]byte, 512)
	for ctx.Err() == nil {
		n, c, _, from, err := unix.Recvmsg(w.fd, frame, control, 0)
		switch link, ok := from.(*unix.SockaddrLinklayer); {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ENETDOWN):
			continue
		case err == nil && (!ok || link.Pkttype == unix.PACKET_OUTGOING):
			continue
		}
		if s, ok := sightIn(frame[:n]); ok || err != nil {
			w.note(s, stamp(control[:c]), err)
		}
		if err != nil {
			return
		}
	}
}

func (w *Witness) note(s Sight, at time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.err = fmt.Errorf("listening on %s: %w", w.host.Name(), err)
	} else if slices.Contains(w.addrs, s.Addr) {
		s.At = at
		w.sights = append(w.sights, s)
	}
}

// stamp is the kernel's time of a frame.
func stamp(control []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		}
	}
	return time.Now()
}

// questions are the frames that ask for the addresses, by broadcast and multicast.
func (w *Witness) questions() (frames [][]byte, err error) {
	for _, a := range w.addrs {
		frame := w.solicitation
		if a.Is4() {
			frame = w.request
		}
		f, err := frame(a)
		if err != nil {
			return nil, err
		}
		frames = append(frames, f)
	}
	return frames, nil
}

func (w *Witness) request(a netip.Addr) ([]byte, error) {
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	p, err := arp.NewPacket(arp.OperationRequest, w.link.HardwareAddr, w.host.V4(), make(net.HardwareAddr, 6), a)
	if err != nil {
		return nil, err
	}
	body, err := p.MarshalBinary()
	return slices.Concat(everybody, w.link.HardwareAddr, []byte{0x08, 0x06}, body), err
}

func (w *Witness) solicitation(a netip.Addr) ([]byte, error) {
	group, err := ndp.SolicitedNodeMulticast(a)
	if err != nil {
		return nil, err
	}
	ask := &ndp.NeighborSolicitation{TargetAddress: a, Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: w.link.HardwareAddr}}}
	body, err := ndp.MarshalMessageChecksum(ask, w.host.V6(), group)
	if err != nil {
		return nil, err
	}
	from, to := w.host.V6().As16(), group.As16()
	head := []byte{0x60, 0, 0, 0, 0, byte(len(body)), protoICMPv6, 255}
	return slices.Concat([]byte{0x33, 0x33}, to[12:], w.link.HardwareAddr, []byte{0x86, 0xdd}, head, from[:], to[:], body), nil
}

func (w *Witness) ask(ctx context.Context, frames [][]byte) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for _, f := range frames {
			// A cable that is out is the test's doing.
			_ = unix.Sendto(w.fd, f, 0, &unix.SockaddrLinklayer{Ifindex: w.link.Index, Halen: 6, Addr: [8]byte(slices.Concat(f[:6], []byte{0, 0}))})
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
