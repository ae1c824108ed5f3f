package integration

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
)

const namespace = "belfry-system"

// node is a host that runs a speaker.
type node struct {
	*host
	name, addr string // addr: its own, on which the speakers talk
	kubeconfig string
	web        *http.Client // speaks from within the namespace
	snapshots  string       // the folder that an emptyDir would be
	program    string       // instead of the one with the race detector
	flags      []string     // besides those that all have
	labels     map[string]string
	process    *exec.Cmd
	exited     chan error
	logs       *journal
}

func newNode(t testing.TB, l nettest.LAN, p *proxy, name string, cidrs ...string) *node {
	t.Helper()
	n := &node{host: newHost(t), name: name, kubeconfig: writeKubeconfig(t, config), snapshots: t.TempDir()}
	l.Join(n.Host, name, cidrs...)
	n.addr, _, _ = strings.Cut(cidrs[0], "/")
	p.open(n.host)
	n.web = &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
	return n
}

// back is how long addresses wait for a speaker: longer than a process takes to start on a machine that has much else to do.
const back = 20 * time.Second

// start runs the program, with the profile that forgives the longest pauses, on a thread of the namespace, which the process
// inherits. The thread stays until the process has ended, so that the process dies with the test (Pdeathsig looks at the
// thread).
func (n *node) start() {
	n.t.Helper()
	logs := &journal{}
	n.logs = logs
	cmd := exec.Command(cmp.Or(n.program, binary), append([]string{"speaker", "--kubeconfig=" + n.kubeconfig, "--node-name=" + n.name, "--namespace=" + namespace,
		"--members-bind=" + n.addr, "--snapshot-dir=" + n.snapshots, "--log-format=console", "--log-level=debug",
		"--metrics-address=127.0.0.1:7980", "--health-address=127.0.0.1:7981", "--proxy-health=0",
		"--failover=relaxed", "--restart-window=" + back.String()}, n.flags...)...)
	cmd.Stdout, cmd.Stderr = logs, logs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	started, exited := make(chan error, 1), make(chan error, 1)
	go func() {
		exited <- n.Do(func() error {
			err := cmd.Start()
			if started <- err; err != nil {
				return err
			}
			return cmd.Wait()
		})
	}()
	must(n.t, <-started)
	n.process, n.exited = cmd, exited
	n.t.Cleanup(func() {
		if n.process == cmd {
			_ = n.stop(unix.SIGKILL)
		}
		n.judge(logs)
	})
}

// judge reads the logs of a process that has ended.
func (n *node) judge(logs *journal) {
	if strings.Contains(logs.String(), "DATA RACE") {
		n.t.Errorf("data race in the speaker of %s", n.name)
	}
	if n.t.Failed() {
		n.t.Logf("speaker of %s:\n%s", n.name, logs)
	}
}

// said counts the lines of the running process that contain the words.
func (n *node) said(words string) int { return strings.Count(n.logs.String(), words) }

// journal is a buffer that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// stop returns how the process ended.
func (n *node) stop(s syscall.Signal) error {
	n.t.Helper()
	must(n.t, n.process.Process.Signal(s))
	n.process = nil
	return <-n.exited
}

func (n *node) get(url string) (string, error) {
	r, err := n.web.Get(url)
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

func (n *node) ready() bool {
	_, err := n.get("http://127.0.0.1:7981/readyz")
	return err == nil
}

// metric returns the value of a metric.
func (n *node) metric(name string) float64 {
	n.t.Helper()
	text, err := n.get("http://127.0.0.1:7980/metrics")
	must(n.t, err)
	v, ok := find(text, name)
	if !ok {
		n.t.Fatalf("%s has no metric %s", n.name, name)
	}
	return v
}

// find looks for a metric by its name, and labels if it has any, among all.
func find(text, name string) (v float64, ok bool) {
	for line := range strings.Lines(text) {
		if value, is := strings.CutPrefix(strings.TrimSpace(line), name+" "); is {
			v, err := strconv.ParseFloat(value, 64)
			return v, err == nil
		}
	}
	return 0, false
}

// status returns the node's SpeakerStatus, an empty one if there is none.
func (n *node) status() v1beta1.SpeakerStatus {
	n.t.Helper()
	var s v1beta1.SpeakerStatus
	must(n.t, client.IgnoreNotFound(api.Get(context.Background(), client.ObjectKey{Name: n.name}, &s)))
	return s
}

func writeKubeconfig(t testing.TB, c *rest.Config) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	k := clientcmdapi.NewConfig()
	k.Clusters["envtest"] = &clientcmdapi.Cluster{Server: "https://" + server, CertificateAuthorityData: c.CAData}
	k.AuthInfos["envtest"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData}
	k.Contexts["envtest"] = &clientcmdapi.Context{Cluster: "envtest", AuthInfo: "envtest"}
	k.CurrentContext = "envtest"
	must(t, clientcmd.WriteToFile(*k, path))
	must(t, os.Chmod(path, 0o600))
	return path
}
