//go:build linux

package cluster

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	k8sversion "k8s.io/apimachinery/pkg/util/version"
)

//go:embed node
var nodeFiles embed.FS

const (
	proxyHealthPort  = 10256
	proxyMetricsPort = 10249
	stopGrace        = 15 * time.Second
)

// nodeFacts fill the templates of a node's configuration.
type nodeFacts struct {
	Node, PauseImage, Snapshotter, CgroupRoot, ControlPlane string
	PodCIDR4, PodCIDR6, PodCIDRs                            string
	ProxyMode                                               ProxyMode
	ProxyHealthPort, ProxyMetricsPort                       int
	MayLowerOOMScore, MayRestartSoon                        bool
}

// writeNode writes the node's configuration below its directory. Its disk (containerd's and the kubelet's directories) is kept.
func writeNode(r record, n int) error {
	etc := filepath.Join(r.StateDir, nodeName(n), "etc")
	if err := os.MkdirAll(filepath.Join(etc, "cni"), 0o755); err != nil {
		return err
	}
	p := r.plan()
	facts := nodeFacts{
		Node: nodeName(n), PauseImage: PauseImage, Snapshotter: snapshotter(r.StateDir), CgroupRoot: r.cgroup(n),
		ControlPlane: p.addr4(controlByte).String(), PodCIDR4: podCIDR4(n).String(), PodCIDR6: podCIDR6(n).String(),
		PodCIDRs: podCIDRs, ProxyMode: r.ProxyModes[n], ProxyHealthPort: proxyHealthPort,
		ProxyMetricsPort: proxyMetricsPort, MayLowerOOMScore: mayLowerOOMScore(), MayRestartSoon: mayRestartSoon(r.Version),
	}
	files := map[string]string{
		"init.sh": "init.sh", "import.sh": "import.sh", "containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml",
		"proxy.yaml": "proxy.yaml", "lab.conflist": "cni/10-lab.conflist",
	}
	for from, to := range files {
		if err := render(from, filepath.Join(etc, to), facts); err != nil {
			return fmt.Errorf("writing %s of %s: %w", to, facts.Node, err)
		}
	}
	return errors.Join(
		os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644),
		os.WriteFile(filepath.Join(etc, "boot_id"), []byte(newBootID()+"\n"), 0o644),
	)
}

func render(from, to string, facts nodeFacts) error {
	text, err := template.ParseFS(nodeFiles, "node/"+from)
	if err != nil {
		return err
	}
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	return errors.Join(text.Execute(f, facts), f.Close())
}

// snapshotter: overlayfs does not work on top of an overlay, such as a container's root.
func snapshotter(dir string) string {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil && fs.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}

// mayRestartSoon tells whether kubelets of the version take the setting, which older ones die of unless a gate is opened.
func mayRestartSoon(kubernetes string) bool {
	v, err := k8sversion.ParseGeneric(kubernetes)
	return err == nil && v.AtLeast(k8sversion.MajorMinor(1, 35))
}

// mayLowerOOMScore looks for CAP_SYS_RESOURCE among the effective capabilities.
func mayLowerOOMScore() bool {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "CapEff:")
	line, _, _ := strings.Cut(rest, "\n")
	caps, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	return err == nil && caps&(1<<unix.CAP_SYS_RESOURCE) != 0
}

func newBootID() string {
	b := make([]byte, 16)
	rand.Read(b) // does not fail
	s := hex.EncodeToString(b)
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// powerOn starts the node's PID 1, and does not wait for what it starts.
func (c *Cluster) powerOn(n int) (process, error) {
	if err := makeCgroups(c.rec.cgroup(n)); err != nil {
		return process{}, fmt.Errorf("making the cgroups of %s: %w", nodeName(n), err)
	}
	if err := writeNode(c.rec, n); err != nil {
		return process{}, err
	}
	p := c.rec.plan()
	env := append(toolEnv("/run/lab/bin", "/run/lab/tools"), "NODE="+nodeName(n), "STATE="+c.rec.StateDir, "BIN="+c.rec.BinDir,
		"TOOLS="+c.rec.ToolDir, "CNI="+c.rec.CNIDir,
		fmt.Sprintf("ADDRS=%s,%s", p.addr4(nodeByteBase+n), p.addr6(nodeByteBase+n)))
	init := filepath.Join(c.rec.StateDir, nodeName(n), "etc", "init.sh")
	// --propagation private: no mount of the node reaches the machine. --kill-child: the node ends with this process.
	return c.spawn.start(c.logFile(nodeName(n)+"-init"), env, "nsenter", "--net="+c.Node(n).NetNS(), "--",
		"unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--propagation", "private", "/bin/sh", init)
}

// StartNode switches on a node that is off, and returns when Kubernetes has seen the new boot and finds the node Ready. A cable
// that CutLink pulled is plugged in again.
func (c *Cluster) StartNode(ctx context.Context, n int) error {
	err := c.change(ctx, n, func(rec *record) error {
		if rec.Processes[nodeName(n)].alive() {
			return errors.New("it is running")
		}
		if err := setPort(c.rec.plan(), nodeName(n), true); err != nil {
			return err
		}
		p, err := c.powerOn(n)
		rec.Processes[nodeName(n)] = p
		return err
	})
	if err == nil {
		err = c.waitNode(ctx, n)
	}
	if err != nil {
		return fmt.Errorf("starting %s: %w", nodeName(n), err)
	}
	return nil
}

// KillNode cuts the node's power. The cable goes first: the processes alone would leave a kernel that goes on answering ARP and
// forwarding. Then every process of the node dies at once, unasked; then the namespace's kernel forgets what a kernel without
// power forgets: packet filter rules, the pods' bridge, connections.
func (c *Cluster) KillNode(ctx context.Context, n int) error {
	err := c.change(ctx, n, func(rec *record) error {
		p := rec.Processes[nodeName(n)]
		if !p.alive() {
			return errors.New("it is off")
		}
		if err := setPort(c.rec.plan(), nodeName(n), false); err != nil {
			return err
		}
		return c.powerOff(ctx, rec, n)
	})
	if err != nil {
		return fmt.Errorf("cutting the power of %s: %w", nodeName(n), err)
	}
	return nil
}

// StopNode shuts a node down: SIGTERM to everything inside, up to 15 seconds to end, then off, as after KillNode.
func (c *Cluster) StopNode(ctx context.Context, n int) error {
	err := c.change(ctx, n, func(rec *record) error {
		p := rec.Processes[nodeName(n)]
		init, err := c.init(p)
		if err != nil {
			return err
		}
		if err := init.signal(syscall.SIGTERM); err != nil {
			return err
		}
		grace, cancel := context.WithTimeout(ctx, stopGrace)
		defer cancel()
		_ = p.gone(grace) // those that stay are killed
		if err := setPort(c.rec.plan(), nodeName(n), false); err != nil {
			return err
		}
		return c.powerOff(ctx, rec, n)
	})
	if err != nil {
		return fmt.Errorf("stopping %s: %w", nodeName(n), err)
	}
	return nil
}

// powerOff is what follows when the cable is out.
func (c *Cluster) powerOff(ctx context.Context, rec *record, n int) error {
	name := nodeName(n)
	p := rec.Processes[name]
	init, err := c.init(p)
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	delete(rec.Processes, name)
	if err == nil { // PID 1 of a namespace ends after everybody else in it
		if err := init.gone(ctx); err != nil {
			return err
		}
	}
	if err := c.flushFilters(ctx, n); err != nil {
		return err
	}
	if err := forgetTraffic(c.rec.plan(), name); err != nil {
		return err
	}
	return removeCgroups(ctx, c.rec.cgroup(n))
}

// flushFilters empties the packet filter of the node's namespace. Rules written by an iptables of the old kind live apart.
func (c *Cluster) flushFilters(ctx context.Context, n int) error {
	h := c.Node(n)
	if _, err := h.Exec(ctx, "nft", "flush", "ruleset"); err != nil {
		return err
	}
	kind, err := h.Exec(ctx, "iptables", "--version")
	if err != nil || !strings.Contains(string(kind), "legacy") {
		return err
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"filter", "nat", "mangle"} {
			for _, flag := range []string{"-F", "-X"} {
				if _, err := h.Exec(ctx, tool, "-w", "-t", table, flag); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// init finds the node's PID 1: the only child of the unshare(1) that was started.
func (c *Cluster) init(unshare process) (process, error) {
	if !unshare.alive() {
		return process{}, errors.New("it is off")
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", unshare.PID, unshare.PID))
	if err != nil {
		return process{}, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		return process{}, fmt.Errorf("finding the first process: children %q", children)
	}
	return identify(pid)
}

// Running says whether the node's power is on.
func (c *Cluster) Running(n int) bool {
	rec, err := readRecord(c.rec.Name)
	return err == nil && rec.Processes[nodeName(n)].alive()
}

// CutLink pulls the node's network cable. Everything on the node goes on running.
func (c *Cluster) CutLink(ctx context.Context, n int) error {
	return c.change(ctx, n, func(*record) error { return setPort(c.rec.plan(), nodeName(n), false) })
}

// RestoreLink plugs the cable in again.
func (c *Cluster) RestoreLink(ctx context.Context, n int) error {
	return c.change(ctx, n, func(*record) error { return setPort(c.rec.plan(), nodeName(n), true) })
}

// CommandInside prepares a command in all namespaces of a running node, where ctr, mount and pkill mean the node's own.
func (c *Cluster) CommandInside(ctx context.Context, n int, args ...string) (*exec.Cmd, error) {
	rec, err := readRecord(c.rec.Name)
	if err != nil {
		return nil, err
	}
	init, err := c.init(rec.Processes[nodeName(n)])
	if err != nil {
		return nil, fmt.Errorf("entering %s: %w", nodeName(n), err)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target=" + strconv.Itoa(init.PID), "--mount", "--uts", "--pid", "--net", "--",
	}, args...)...)
	cmd.Env = toolEnv("/run/lab/bin", "/run/lab/tools")
	return cmd, nil
}

// Shell prepares a command as a person at the host's keyboard would run it: in all namespaces of a running node, in the network
// namespace of any other host.
func (c *Cluster) Shell(ctx context.Context, host string, args ...string) (*exec.Cmd, error) {
	h, err := c.Host(host)
	if err != nil {
		return nil, err
	}
	if n, err := c.NodeByName(host); err == nil && c.Running(n) {
		return c.CommandInside(ctx, n, args...)
	}
	return h.Command(ctx, args...), nil
}

// ExecInside runs a command in all namespaces of a running node and returns its standard output.
func (c *Cluster) ExecInside(ctx context.Context, n int, args ...string) ([]byte, error) {
	cmd, err := c.CommandInside(ctx, n, args...)
	if err != nil {
		return nil, err
	}
	return output(cmd, nodeName(n), args)
}

// LoadImage puts an image archive, OCI or docker, into all running nodes, and into others when they start.
func (c *Cluster) LoadImage(ctx context.Context, tar string) error {
	unlock, err := lockLab(ctx, c.rec.Name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := addImage(c.rec.StateDir, tar); err != nil {
		return fmt.Errorf("loading image %s: %w", tar, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for n := 1; n <= c.rec.Nodes; n++ {
		if !c.Running(n) {
			continue
		}
		group.Go(func() error {
			_, err := c.ExecInside(ctx, n, "sh", "/run/lab/state/"+nodeName(n)+"/etc/import.sh")
			return err
		})
	}
	return group.Wait()
}

// addImage copies the tar to where the nodes look, under a name that says what is in it.
func addImage(state, tar string) error {
	data, err := os.ReadFile(tar)
	if err != nil {
		return err
	}
	to := filepath.Join(state, "images", digest(data)+".tar")
	if exists(to) {
		return nil
	}
	return writeFile(to, data)
}
