package speaker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/nettest"
)

const namespace = "belfry-system"

// node is a host that runs a speaker.
type node struct {
	*nettest.Host
	t          testing.TB
	name, addr string // addr: its first, on which the speakers talk
	kubeconfig string
	snapshots  string // the folder that an emptyDir would be
	labels     map[string]string
	web        *http.Client // speaks from within the namespace
	process    *exec.Cmd
	exited     chan error
	logs       *journal
}

// newNode plugs a node into the LAN and tells the API server of it. Its speaker is started by start.
func newNode(t testing.TB, l nettest.LAN, name string, cidrs ...string) *node {
	t.Helper()
	n := &node{Host: nettest.NewHost(t), t: t, name: name, snapshots: t.TempDir()}
	l.Join(n.Host, name, cidrs...)
	n.Forward()
	n.addr, _, _ = strings.Cut(cidrs[0], "/")
	n.kubeconfig = writeKubeconfig(t, administer(t, n.Host))
	n.web = &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
	create(t, n.object())
	create(t, n.pod())
	return n
}

// start runs the program on a thread of the namespace, which the process inherits. The thread stays until the process has
// ended, so that the process dies with the test (Pdeathsig looks at the thread).
func (n *node) start(flags ...string) {
	n.t.Helper()
	logs := &journal{}
	n.logs = logs
	cmd := exec.Command(program, append([]string{"speaker", "--kubeconfig=" + n.kubeconfig, "--node-name=" + n.name, "--namespace=" + namespace,
		"--members-bind=" + n.addr, "--snapshot-dir=" + n.snapshots, "--exclude-interfaces=adm", "--log-format=console", "--log-level=debug",
		"--metrics-address=127.0.0.1:7980", "--health-address=127.0.0.1:7981", "--proxy-health=0"}, flags...)...)
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

// up starts the speaker and waits until it takes part.
func (n *node) up(flags ...string) {
	n.t.Helper()
	n.start(flags...)
	eventually(n.t, n.name+" is ready", n.ready)
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

func (n *node) ready() error {
	_, err := n.get("http://127.0.0.1:7981/readyz")
	return err
}

// metric returns the value of a series, 0 if there is none.
func (n *node) metric(series string) float64 {
	n.t.Helper()
	text, err := n.get("http://127.0.0.1:7980/metrics")
	must(n.t, err)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			v, err := strconv.ParseFloat(value, 64)
			must(n.t, err)
			return v
		}
	}
	return 0
}

// peer returns what the node's SpeakerStatus says of a session; nothing if there is none.
func (n *node) peer(name string) v1beta1.SpeakerPeer {
	n.t.Helper()
	var s v1beta1.SpeakerStatus
	must(n.t, client.IgnoreNotFound(api.Get(context.Background(), client.ObjectKey{Name: n.name}, &s)))
	for _, p := range s.Status.BGP.Peers {
		if p.Name == name {
			return p
		}
	}
	return v1beta1.SpeakerPeer{}
}

// says waits until the node's SpeakerStatus says so of a session.
func (n *node) says(peer, what string, ok func(v1beta1.SpeakerPeer) bool) v1beta1.SpeakerPeer {
	n.t.Helper()
	var p v1beta1.SpeakerPeer
	eventually(n.t, fmt.Sprintf("%s says of %s: %s", n.name, peer, what), func() error {
		if p = n.peer(peer); !ok(p) {
			return fmt.Errorf("it says %+v, BFD %+v", p, p.BFD)
		}
		return nil
	})
	return p
}

func established(p v1beta1.SpeakerPeer) bool { return p.State == v1beta1.SessionEstablished }

func watched(p v1beta1.SpeakerPeer) bool {
	return established(p) && p.BFD != nil && p.BFD.State == "Up"
}

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

func writeKubeconfig(t testing.TB, server string) string {
	t.Helper()
	port, err := serverPort()
	must(t, err)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	k := clientcmdapi.NewConfig()
	k.Clusters["envtest"] = &clientcmdapi.Cluster{
		Server: "https://" + net.JoinHostPort(server, port), TLSServerName: "localhost", CertificateAuthorityData: config.CAData,
	}
	k.AuthInfos["envtest"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	k.Contexts["envtest"] = &clientcmdapi.Context{Cluster: "envtest", AuthInfo: "envtest"}
	k.CurrentContext = "envtest"
	must(t, clientcmd.WriteToFile(*k, path))
	must(t, os.Chmod(path, 0o600))
	return path
}
