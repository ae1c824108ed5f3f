//go:build linux

package bgp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/speaker/bgp"
)

const engineEnv = "BELFRY_BGP_ENGINE"

// engineProcess is an engine alone in a process, so that it can be killed: it reads what is desired and prints what runs.
func engineProcess() int {
	r, err := bgp.New(bgp.Options{Log: logr.Discard()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go r.Run(context.Background())
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var d bgp.Desired
		if err := in.Decode(&d); err != nil {
			return 0
		}
		running, err := r.Apply(context.Background(), d)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := out.Encode(running); err != nil {
			return 1
		}
	}
}

// process is an engine in a process of its own.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

func newProcess(t *testing.T) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), engineEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))}
	t.Cleanup(p.kill)
	return p
}

func (p *process) apply(d bgp.Desired) bgp.Running {
	p.t.Helper()
	var r bgp.Running
	if err := p.in.Encode(d); err != nil {
		p.t.Fatal(err)
	}
	if err := p.out.Decode(&r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// kill is SIGKILL: the kernel closes the sockets, nobody says a word.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *process) established(d bgp.Desired) {
	p.t.Helper()
	eventually(p.t, "the session of the process is established", func() error {
		if s := p.apply(d).Peers["r"]; s.State != bgp.Established {
			return fmt.Errorf("peer is %+v", s)
		}
		return nil
	})
}
