//go:build linux

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/vishvananda/netns"
)

// Host is one network namespace of a lab: a node, a client, a router, the control plane or the LAN itself. It stays valid while a node
// is off; what then fails is what would fail on a machine without power.
type Host struct {
	name   string
	v4, v6 netip.Addr
	ns     string
	env    []string
}

// Name returns n1, c1, r1, cp or lan.
func (h *Host) Name() string { return h.name }

// V4 returns the host's IPv4 address on the LAN.
func (h *Host) V4() netip.Addr { return h.v4 }

// V6 returns the host's global IPv6 address on the LAN.
func (h *Host) V6() netip.Addr { return h.v6 }

// NetNS returns the path of the host's network namespace.
func (h *Host) NetNS() string { return filepath.Join(netnsDir, h.ns) }

// MAC returns the hardware address of the host's cable: eth0, or of the bridge for the LAN.
func (h *Host) MAC() (mac net.HardwareAddr, err error) {
	name := uplink
	if h.name == "lan" {
		name = bridge
	}
	err = h.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err == nil {
			mac = ifi.HardwareAddr
		}
		return err
	})
	return mac, err
}

// Command prepares a command in the host's network namespace; in all else it is a command of this machine.
// nsenter(1) and not ip-netns(8), which would mount another /sys, without the cgroups.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + h.NetNS(), "--"}, args...)...)
	cmd.Env = h.env
	return cmd
}

// Exec runs a command in the host's network namespace and returns its standard output. What it wrote to standard error is in
// the error.
func (h *Host) Exec(ctx context.Context, args ...string) ([]byte, error) {
	return output(h.Command(ctx, args...), h.name, args)
}

func output(cmd *exec.Cmd, host string, args []string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("running %q on %s: %w: %s", strings.Join(args, " "), host, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// Do runs fn on an operating system thread that is inside the host's network namespace. Sockets opened there stay there;
// goroutines that fn starts are not inside.
func (h *Host) Do(fn func() error) error {
	leave, err := h.enter()
	if err != nil {
		return err
	}
	defer leave()
	return fn()
}

// enter moves the calling goroutine's thread into the namespace and returns the way back.
func (h *Host) enter() (leave func(), err error) {
	runtime.LockOSThread()
	before, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("entering %s: %w", h.ns, err)
	}
	leave = func() {
		if netns.Set(before) == nil {
			runtime.UnlockOSThread() // else the thread stays locked, and the runtime ends it with the goroutine
		}
		before.Close()
	}
	ns, err := netns.GetFromPath(h.NetNS())
	if err == nil {
		err = netns.Set(ns)
		ns.Close()
	}
	if err != nil {
		leave()
		return nil, fmt.Errorf("entering %s: %w", h.ns, err)
	}
	return leave, nil
}

// Dial connects from the host. The address must be a literal: names are not looked up. Only the making of the socket takes a
// thread of its own, the wait for the answer does not, so a test may dial every few milliseconds.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return h.DialFrom(ctx, net.Dialer{}, network, addr)
}

// DialFrom is Dial with a dialer of the caller's, for a timeout or a local address. The dialer's Control must be unset.
func (h *Host) DialFrom(ctx context.Context, d net.Dialer, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return nil, fmt.Errorf("dialling %s from %s: want a literal address: %w", addr, h.name, err)
	}
	leave, err := h.enter()
	if err != nil {
		return nil, err
	}
	// For one literal address, the dialer makes the socket in the calling goroutine and calls this before it connects. A
	// socket belongs to the namespace in which it was made.
	inside := true
	d.ControlContext = func(context.Context, string, string, syscall.RawConn) error {
		inside = false
		leave()
		return nil
	}
	conn, err := d.DialContext(ctx, network, addr)
	if inside {
		leave()
	}
	return conn, err
}

// HTTPClient returns a client whose requests come from the host. Each takes a new connection.
func (h *Host) HTTPClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true}}
}

// Curl gets a URL from the host and returns the body; a status of 400 or more is an error.
func (h *Host) Curl(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := h.HTTPClient().Do(req)
	if err != nil {
		return "", fmt.Errorf("from %s: %w", h.name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return string(body), fmt.Errorf("from %s: reading %s: %w", h.name, url, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return string(body), fmt.Errorf("from %s: %s: %s", h.name, url, resp.Status)
	}
	return string(body), nil
}
