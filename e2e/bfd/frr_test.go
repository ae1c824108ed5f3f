package bfd

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// frr is a router with zebra and bfdd.
type frr struct {
	router
	bfdd *os.Process
}

type frrPeer struct {
	Peer         string `json:"peer"`
	Status       string `json:"status"`
	Diagnostic   string `json:"diagnostic"`
	RemoteDiag   string `json:"remote-diagnostic"`
	Uptime       int    `json:"uptime"`
	RemoteRx     int    `json:"remote-receive-interval"`
	RemoteTx     int    `json:"remote-transmit-interval"`
	RemoteDetect int    `json:"remote-detect-multiplier"`
}

// startFRR starts an FRR with the lines of its section bfd.
func startFRR(t *testing.T, h *host, lines ...string) *frr {
	t.Helper()
	r := &frr{router: newRouter(t, h)}
	r.write("vtysh.conf", "username root nopassword\n")
	r.write("zebra.conf", "")
	r.write("bfdd.conf", "")
	common := func(name string) []string {
		return []string{
			r.root + "/usr/lib/frr/" + name, "-A", "127.0.0.1", "--log", "stdout", "--log-level", "warnings",
			"-i", r.path(name + ".pid"), "-z", r.path("zserv.api"), "--vty_socket", r.dir, "-f", r.path(name + ".conf"),
		}
	}
	r.daemon(common("zebra")...)
	until(t, "zebra", func() bool { return exists(r.path("zserv.api")) })
	r.bfdd = r.daemon(append(common("bfdd"), "--bfdctl", r.path("bfdd.sock"))...)
	until(t, "bfdd", func() bool { _, err := r.vtysh("show bfd peers json"); return err == nil })
	r.configure(lines...)
	return r
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (r *frr) vtysh(commands ...string) (string, error) {
	args := []string{r.root + "/usr/bin/vtysh", "--config_dir", r.dir, "--vty_socket", r.dir}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	out, err := r.run(args...)
	if err == nil && strings.HasPrefix(out, "%") {
		err = fmt.Errorf("vtysh: %s", out)
	}
	return out, err
}

// configure enters lines below "bfd".
func (r *frr) configure(lines ...string) {
	r.t.Helper()
	if out, err := r.vtysh(append([]string{"configure terminal", "bfd"}, lines...)...); err != nil || strings.Contains(out, "%") {
		r.t.Fatalf("configuring FRR: %v: %s", err, out)
	}
}

// peer returns what FRR says of its one peer.
func (r *frr) peer() frrPeer {
	r.t.Helper()
	out, err := r.vtysh("show bfd peers json")
	if err != nil {
		r.t.Fatal(err)
	}
	var peers []frrPeer
	if err := json.Unmarshal([]byte(out), &peers); err != nil || len(peers) != 1 {
		r.t.Fatalf("FRR's peers: %v: %s", err, out)
	}
	return peers[0]
}

// downs is how often FRR saw the session go down.
func (r *frr) downs() int {
	r.t.Helper()
	out, err := r.vtysh("show bfd peers counters json")
	if err != nil {
		r.t.Fatal(err)
	}
	var peers []struct {
		Down int `json:"session-down"`
	}
	if err := json.Unmarshal([]byte(out), &peers); err != nil || len(peers) != 1 {
		r.t.Fatalf("FRR's counters: %v: %s", err, out)
	}
	return peers[0].Down
}
