package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// probeEvery is the rhythm of new connections, and probeTimeout is when one of them counts as failed.
const (
	probeEvery   = 10 * time.Millisecond
	probeTimeout = 250 * time.Millisecond
	patient      = 6 * time.Second
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
	began   time.Time
	ok      bool
	err     error
	took    time.Duration // until it was open, or had failed
	reply   error         // why a request on it was not answered
	repeats int           // how often the kernel had to repeat the first packet
}

// Probe opens a new connection to an address every 10 ms and remembers which ones succeeded.
type Probe struct {
	cancel  context.CancelFunc
	rest    chan struct{} // closed to open no more
	done    chan struct{}
	timeout time.Duration
	asks    bool // sends a request on each connection

	mu       sync.Mutex
	attempts []attempt
}

// StartProbe starts probing from a host; Stop ends it.
func StartProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort) *Probe {
	return startProbe(ctx, from, to, &Probe{timeout: probeTimeout})
}

// StartPatientProbe is StartProbe with the patience of a client that lets its kernel repeat the first packet twice: what fails
// is what would fail for a user, however busy the machine.
func StartPatientProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort) *Probe {
	return startProbe(ctx, from, to, &Probe{timeout: patient})
}

// StartVisits is StartPatientProbe by clients that also fetch the page, each on its connection.
func StartVisits(ctx context.Context, from *cluster.Host, to netip.AddrPort) *Probe {
	return StartVisitsWithin(ctx, from, to, patient)
}

// StartVisitsWithin is StartVisits with another patience.
func StartVisitsWithin(ctx context.Context, from *cluster.Host, to netip.AddrPort, patience time.Duration) *Probe {
	return startProbe(ctx, from, to, &Probe{timeout: patience, asks: true})
}

func startProbe(ctx context.Context, from *cluster.Host, to netip.AddrPort, p *Probe) *Probe {
	ctx, p.cancel = context.WithCancel(ctx)
	p.done, p.rest = make(chan struct{}), make(chan struct{})
	go p.run(ctx, from, to)
	return p
}

// Stop ends the probing. What has not ended yet is forgotten.
func (p *Probe) Stop() {
	p.cancel()
	<-p.done
}

// Finish opens no more connections and waits until each of them has ended its own way. Stop must still be called.
func (p *Probe) Finish() {
	close(p.rest)
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
		case <-p.rest:
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
	a := attempt{began: began, ok: err == nil, err: err, took: time.Since(began)}
	if err == nil {
		a.repeats = repeats(conn)
		if p.asks {
			a.reply = fetch(conn, p.timeout)
		}
		conn.Close()
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
}

// fetch sends a request and reads the answer to its end.
func fetch(conn net.Conn, timeout time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/1.0 200 ")) {
		err = fmt.Errorf("answer %.20q", answer)
	}
	return err
}

// repeats asks the kernel how many packets it had to send again.
func repeats(conn net.Conn) (n int) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Total_retrans)
		}
	})
	return n
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

// Patience tells of the attempts begun after since: how many there were, how many failed, how many were reset, and how many
// needed their first packet repeated, once and more than once. A router that has one path less sends the packets of a
// connection elsewhere: one that was about to be opened at that moment is reset there. A kernel repeats it after one second and after two more: who needed it once at most
// was answered within a second or so, however busy the machine.
type Patience struct{ Connections, Failed, Reset, Once, More int }

// Patience counts what a patient probe needed of it.
func (p *Probe) Patience(since time.Time) (out Patience) {
	for _, a := range p.after(since) {
		out.Connections++
		switch {
		case errors.Is(a.err, unix.ECONNRESET):
			out.Reset++
		case !a.ok:
			out.Failed++
		case a.repeats == 1:
			out.Once++
		case a.repeats > 1:
			out.More++
		}
	}
	return out
}

// Silent returns the longest time in which no connection was opened at the first try: from the beginning of the first
// that was not to that of the next that was, or to the last one's.
func (p *Probe) Silent(since time.Time) time.Duration {
	return silent(p.after(since))
}

func silent(attempts []attempt) (longest time.Duration) {
	var began time.Time
	for _, a := range attempts {
		if good := a.ok && a.repeats == 0; good == began.IsZero() {
			continue
		}
		if began.IsZero() {
			began = a.began
			continue
		}
		longest, began = max(longest, a.began.Sub(began)), time.Time{}
	}
	if !began.IsZero() {
		longest = max(longest, attempts[len(attempts)-1].began.Sub(began))
	}
	return longest
}

// Failures tells of each failed attempt when it began after since, how long it took, and how it ended.
func (p *Probe) Failures(since time.Time) (all []string) {
	for _, a := range p.after(since) {
		if !a.ok {
			all = append(all, fmt.Sprintf("%d ms, for %d ms: %v", a.began.Sub(since).Milliseconds(), a.took.Milliseconds(), a.err))
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
		if a.repeats > 0 && !explained(a, stalls) {
			all = append(all, fmt.Sprintf("%d ms", a.began.Sub(since).Milliseconds()))
		}
	}
	return all
}

// explains is how far apart two attempts may be that suffer from one stall of the machine.
const explains = 2 * time.Second

func explained(a attempt, control []attempt) bool {
	return slices.ContainsFunc(control, func(c attempt) bool {
		return (c.repeats > 0 || !c.ok) && c.began.Sub(a.began).Abs() <= explains
	})
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
