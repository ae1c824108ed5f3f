//go:build linux

package speakertest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/belfry-lb/belfry/internal/nettest"
)

// Node is a host that runs a speaker.
type Node struct {
	*nettest.Host
	Name, Addr string // Addr: its first, on which the speakers talk
	Labels     map[string]string
	Program    string
	Kubeconfig string
	Snapshots  string       // the folder that an emptyDir would be
	Web        *http.Client // speaks from within the namespace
	Process    *exec.Cmd    // nil when the speaker has been stopped

	t      testing.TB
	exited chan error
	logs   *Journal
}

// NewNode plugs a node into the LAN. It neither has a way to the API server yet nor is an object there.
func (a API) NewNode(t testing.TB, l nettest.LAN, name string, cidrs ...string) *Node {
	t.Helper()
	n := &Node{Host: nettest.NewHost(t), Name: name, Program: a.Program, Snapshots: t.TempDir(), t: t}
	l.Join(n.Host, name, cidrs...)
	n.Addr, _, _ = strings.Cut(cidrs[0], "/")
	n.Web = &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
	return n
}

// Start runs the speaker with these flags besides those that all have. Its end is the test's, which fails if it raced.
func (n *Node) Start(flags ...string) {
	n.t.Helper()
	n.logs = &Journal{}
	cmd, logs := exec.Command(n.Program, append([]string{"speaker", "--kubeconfig=" + n.Kubeconfig, "--node-name=" + n.Name, "--namespace=" + Namespace,
		"--members-bind=" + n.Addr, "--snapshot-dir=" + n.Snapshots, "--log-format=console", "--log-level=debug",
		"--metrics-address=127.0.0.1:7980", "--health-address=127.0.0.1:7981", "--proxy-health=0"}, flags...)...), n.logs
	n.Process, n.exited = cmd, logs.Start(n.t, n.Host, cmd)
	n.t.Cleanup(func() {
		if n.Process == cmd {
			_ = n.Stop(unix.SIGKILL)
		}
		logs.Judge(n.t, "speaker of "+n.Name)
	})
}

// Stop returns how the process ended.
func (n *Node) Stop(s syscall.Signal) error {
	n.t.Helper()
	must(n.t, n.Process.Process.Signal(s))
	n.Process = nil
	return <-n.exited
}

// Said counts the lines of the running process that contain the words.
func (n *Node) Said(words string) int { return strings.Count(n.logs.String(), words) }

// Get reads a page from within the namespace.
func (n *Node) Get(url string) (string, error) {
	r, err := n.Web.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = errors.New(r.Status)
	}
	return string(b), err
}

// Ready returns nil when the speaker takes part.
func (n *Node) Ready() error {
	_, err := n.Get("http://127.0.0.1:7981/readyz")
	return err
}

// Metric returns the value of a series, named with its labels if it has any.
func (n *Node) Metric(series string) (v float64, found bool, err error) {
	text, err := n.Get("http://127.0.0.1:7980/metrics")
	for line := range strings.Lines(text) {
		if value, is := strings.CutPrefix(strings.TrimSpace(line), series+" "); is {
			v, err = strconv.ParseFloat(value, 64)
			return v, err == nil, err
		}
	}
	return 0, false, err
}

// CPU returns the time that the running process has used: utime and stime of proc(5), in hundredths of a second.
func (n *Node) CPU() time.Duration {
	n.t.Helper()
	stat := n.proc("stat")
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:]) // from the third, state
	ticks := 0
	for _, f := range fields[11:13] {
		k, err := strconv.Atoi(f)
		must(n.t, err)
		ticks += k
	}
	return time.Duration(ticks) * time.Second / 100
}

// Memory returns a line of the running process's status, as RssAnon, in KiB.
func (n *Node) Memory(key string) int {
	n.t.Helper()
	for line := range strings.Lines(n.proc("status")) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			must(n.t, err)
			return kib
		}
	}
	n.t.Fatalf("no %s in the status of a process", key)
	return 0
}

func (n *Node) proc(file string) string {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", n.Process.Process.Pid, file))
	must(n.t, err)
	return string(text)
}
