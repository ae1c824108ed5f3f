package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// probeEvery is the rhythm of new connections, and probeTimeout is when one of them counts as failed.
const (
	probeEvery   = 10 * time.Millisecond
	probeTimeout = 250 * time.Millisecond
)

// getTimeout bounds one fetch: a packet that nobody takes is lost without a word.
const getTimeout = time.Second

// Get fetches the page at an address and port from a host on the LAN.
func Get(ctx context.Context, from *cluster.Host, at netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	return from.Curl(ctx, "http://"+at.String()+"/")
}

// attempt is one connection that a Probe opened.
type attempt struct {
	began time.Time
	ok    bool
	err   error
	// repeated: the kernel had to send the first packet again.
	repeated bool
}

// Probe opens a new connection to an address every 10 ms and remembers which ones succeeded.
type Probe struct {
	cancel  context.CancelFunc
	done    chan struct{}
	timeout time.Duration

	mu       sync.Mutex
	attempts []attempt
}

// StartProbe starts probing from a host; Stop ends it.
func StartProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort) *Probe {
	return startProbe(ctx, from, to, probeTimeout)
}

// StartPatientProbe is StartProbe with the patience of a client that lets its kernel repeat the first packet twice: what fails
// is what would fail for a user, however busy the machine.
func StartPatientProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort) *Probe {
	return startProbe(ctx, from, to, 6*time.Second)
}

func startProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort, timeout time.Duration) *Probe {
	ctx, cancel := context.WithCancel(ctx)
	p := &Probe{cancel: cancel, done: make(chan struct{}), timeout: timeout}
	go p.run(ctx, from, to)
	return p
}

// Stop ends the probing and waits for the last attempt.
func (p *Probe) Stop() {
	p.cancel()
	<-p.done
}

func (p *Probe) run(ctx context.Context, from *cluster.Host, to netip.AddrPort) {
	defer close(p.done)
	var dials sync.WaitGroup
	defer dials.Wait()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			dials.Go(func() { p.dial(ctx, from, to) })
		}
	}
}

func (p *Probe) dial(ctx context.Context, from *cluster.Host, to netip.AddrPort) {
	began := time.Now()
	dial, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	conn, err := from.Dial(dial, "tcp", to.String())
	repeated := false
	if err == nil {
		repeated = retransmits(conn) > 0
		conn.Close()
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, attempt{began, err == nil, err, repeated})
}

// Counts returns how many attempts succeeded and how many failed so far.
func (p *Probe) Counts() (ok, failed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.attempts {
		if a.ok {
			ok++
		} else {
			failed++
		}
	}
	return ok, failed
}

// Failures tells of each failed attempt when it began after since, and how it ended.
func (p *Probe) Failures(since time.Time) (all []string) {
	for _, a := range p.after(since) {
		if !a.ok {
			all = append(all, fmt.Sprintf("%d ms: %v", a.began.Sub(since).Milliseconds(), a.err))
		}
	}
	return all
}

// Repeated tells of each attempt begun after since whose first packet got lost, and was sent again. What a patient client does
// not see as a failure costs it a second all the same. Those are left out that began within two seconds of such an attempt of the control,
// which asks somebody else: then the machine itself was too busy to answer in time.
func (p *Probe) Repeated(since time.Time, control *Probe) (all []string) {
	stalls := control.after(since.Add(-explains))
	for _, a := range p.after(since) {
		if a.repeated && !explained(a, stalls) {
			all = append(all, fmt.Sprintf("%d ms", a.began.Sub(since).Milliseconds()))
		}
	}
	return all
}

// explains is how far apart two attempts may be that suffer from one stall of the machine.
const explains = 2 * time.Second

func explained(a attempt, control []attempt) bool {
	return slices.ContainsFunc(control, func(c attempt) bool {
		return (c.repeated || !c.ok) && c.began.Sub(a.began).Abs() <= explains
	})
}

// retransmits counts the segments that a new connection has sent again, 0 if it cannot be told.
func retransmits(conn net.Conn) (n uint32) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) { // fails on a closed connection
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Total_retrans
		}
	})
	return n
}

// AwaitSuccesses waits until n attempts have succeeded.
func (p *Probe) AwaitSuccesses(ctx context.Context, n int) error {
	return Eventually(ctx, fmt.Sprintf("%d connections", n), func(context.Context) error {
		if ok, failed := p.Counts(); ok < n {
			return fmt.Errorf("%d succeeded, %d failed", ok, failed)
		}
		return nil
	})
}

// Silence is a time without a new connection.
type Silence struct {
	// Lasted from the beginning of the first attempt that failed to that of the first success begun after it.
	Lasted time.Duration
	// Later counts the attempts that failed after that success: endpoints that Kubernetes has not removed yet.
	Later int
}

// AwaitSilence waits until attempts begun after since have failed, and steady ones in a row have succeeded then. Attempts
// that fail in between are counted apart, see Silence.
func (p *Probe) AwaitSilence(ctx context.Context, since time.Time, steady int) (s Silence, err error) {
	err = Eventually(ctx, "connections after the silence", func(context.Context) error {
		s, err = silence(p.after(since), steady)
		return err
	})
	return s, err
}

// after returns the attempts begun after t, in the order of their beginnings.
func (p *Probe) after(t time.Time) []attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	var later []attempt
	for _, a := range p.attempts {
		if a.began.After(t) {
			later = append(later, a)
		}
	}
	slices.SortFunc(later, func(a, b attempt) int { return a.began.Compare(b.began) })
	return later
}

// silence reads attempts in the order of their beginnings.
func silence(attempts []attempt, steady int) (s Silence, err error) {
	failed := slices.IndexFunc(attempts, func(a attempt) bool { return !a.ok })
	if failed < 0 {
		return s, errors.New("no connection has failed")
	}
	recovered := slices.IndexFunc(attempts[failed:], func(a attempt) bool { return a.ok })
	if recovered < 0 {
		return s, errors.New("no connection has succeeded since")
	}
	s.Lasted = attempts[failed+recovered].began.Sub(attempts[failed].began)
	run := 0
	for _, a := range attempts[failed+recovered:] {
		if run++; !a.ok {
			s.Later++
			run = 0
		}
	}
	if run < steady {
		return s, fmt.Errorf("%d connections in a row have succeeded since, %d failed", run, s.Later)
	}
	return s, nil
}
