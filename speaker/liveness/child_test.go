package liveness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	ossignal "os/signal"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

const (
	childEnv = "LIVENESS_NODE"
	busyEnv  = "LIVENESS_BUSY"
)

// setup is what a node's process is told.
type setup struct {
	Name    string
	Bind    netip.AddrPort
	Profile Profile
	Knock   uint16
	Targets map[string]netip.AddrPort
}

// line is what it tells, whenever a verdict changes.
type line struct {
	At       time.Time
	Node     string
	Verdicts map[string]Verdict
}

// child is the process: it runs until it is killed.
func child(config string) int {
	var s setup
	if err := json.Unmarshal([]byte(config), &s); err != nil {
		return 2
	}
	d, err := New(Options{Name: s.Name, Bind: s.Bind, Key: secret, Knock: s.Knock, Profile: s.Profile, Registerer: prometheus.NewRegistry()})
	if err != nil {
		return 2
	}
	if s.Knock != 0 { // nobody accepts: the kernel does
		if _, err := net.Listen("tcp", netip.AddrPortFrom(s.Bind.Addr(), s.Knock).String()); err != nil {
			return 2
		}
	}
	d.SetTargets(s.Targets)
	ctx, cancel := ossignal.NotifyContext(context.Background(), unix.SIGTERM)
	defer cancel()
	go func() {
		out := json.NewEncoder(os.Stdout)
		for range d.Changed() {
			_ = out.Encode(line{At: time.Now(), Node: s.Name, Verdicts: d.Verdicts()})
		}
	}()
	if err := d.Run(ctx); err != nil {
		return 1
	}
	return 0
}

// process is a node's process as the test sees it.
type process struct {
	*exec.Cmd
	t    testing.TB
	done chan struct{}

	mu   sync.Mutex
	said []line
}

func run(t testing.TB, h *nettest.Host, s setup) *process {
	t.Helper()
	config, err := json.Marshal(s)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	p := &process{Cmd: exec.CommandContext(context.Background(), self), t: t, done: make(chan struct{})}
	p.Env = append(os.Environ(), fmt.Sprintf("%s=%s", childEnv, config))
	out, err := p.StdoutPipe()
	must(t, err)
	must(t, h.Do(p.Start))
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l line
			if json.Unmarshal(lines.Bytes(), &l) == nil {
				p.mu.Lock()
				p.said = append(p.said, l)
				p.mu.Unlock()
			}
		}
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	if p.ProcessState == nil {
		_ = p.Process.Kill()
		<-p.done
		_ = p.Wait()
	}
}

func (p *process) lines() []line {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}

func (p *process) state(name string) State {
	said := p.lines()
	if len(said) == 0 {
		return Unknown
	}
	return said[len(said)-1].Verdicts[name].State
}

func (p *process) sees(name string, want State) {
	p.t.Helper()
	eventually(p.t, name+" to be "+want.String(), func() bool { return p.state(name) == want })
}
