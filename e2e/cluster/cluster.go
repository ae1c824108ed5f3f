//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// startTimeout is for a machine that is busy with something else; an idle one needs ten seconds.
const startTimeout = 4 * time.Minute

// marker is the file by which a state directory is known to be ours, and may be removed.
const marker = "belfry-lab"

// Cluster is a running lab. Its methods may be called from several goroutines, and from several processes at once.
type Cluster struct {
	rec   record // as it was when the lab was started or opened; Processes are read anew each time
	hosts map[string]*Host
	env   []string
	spawn *spawner
}

// Start brings up a lab and returns when all nodes are Ready and every kube-proxy has written its rules. Leftovers of a lab of the same name
// whose owner is gone are removed first; if it has one, that is an error. A lab that cannot be started leaves only its logs behind,
// in a place that the error names.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	rec, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	unlock, err := lockLab(ctx, o.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearLeftovers(ctx, o.Name); err != nil {
		return nil, err
	}
	if err := claimStateDir(o.StateDir, o.Name); err != nil {
		return nil, err
	}
	if rec, err = claim(ctx, rec); err != nil {
		return nil, fmt.Errorf("starting lab %s: %w", o.Name, err)
	}
	c := newCluster(rec)
	limited, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.up(limited, &rec, o.Log); err != nil {
		kept := keepLogs(rec)
		c.spawn.close()
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("starting lab %s (logs are in %s): %w", o.Name, kept, err), remove(clean, rec))
	}
	c.rec = rec
	return c, nil
}

// prepare finds or builds whatever is kept between labs, and changes nothing else.
func prepare(ctx context.Context, o Options) (record, error) {
	if err := preflight(); err != nil {
		return record{}, err
	}
	bin, err := BuildBinaries(ctx, o.Version, o.Log)
	if err != nil {
		return record{}, err
	}
	tools, err := findTools(ctx, o.Log)
	if err != nil {
		return record{}, err
	}
	return record{
		Name: o.Name, StateDir: o.StateDir, Version: o.Version, Nodes: o.Nodes, Clients: o.Clients, Routers: o.Routers, ProxyModes: o.ProxyModes,
		BinDir: bin.Dir, ToolDir: tools.dir, CNIDir: tools.cni, BootID: bootID(), Owner: currentProcess(), Detached: o.Detached,
		Processes: map[string]process{},
	}, nil
}

// clearLeftovers removes what a lab of this name left when its owner went away. The caller holds the lab's lock.
func clearLeftovers(ctx context.Context, name string) error {
	rec, err := readRecord(name)
	switch {
	case errors.Is(err, ErrNotRunning):
		return nil
	case err != nil:
		return err
	case rec.owned():
		return fmt.Errorf("lab %s runs already (process %d owns it)", name, rec.Owner.PID)
	}
	return remove(ctx, rec)
}

// claimStateDir empties the directory, if it was made for a lab of this name or is empty anyway, and makes what is below it.
func claimStateDir(dir, name string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	owner, _ := os.ReadFile(filepath.Join(dir, marker))
	if len(entries) > 0 && strings.TrimSpace(string(owner)) != name {
		return fmt.Errorf("state directory %s: it holds something that is not of lab %s", dir, name)
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, sub := range []string{"pki", "log", "images"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, marker), []byte(name+"\n"), 0o644)
}

// up starts everything, the nodes while the API server is still on its way.
func (c *Cluster) up(ctx context.Context, rec *record, log io.Writer) error {
	began := time.Now()
	step := func(format string, args ...any) {
		fmt.Fprintf(log, "lab %s: %4.1fs  %s\n", rec.Name, time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
	step("network, certificates")
	if err := buildNetwork(*rec); err != nil {
		return err
	}
	if err := writePKI(filepath.Join(rec.StateDir, "pki"), rec.plan(), rec.Nodes); err != nil {
		return err
	}
	pause, err := buildImageOf(ctx, PauseImage, "pause")
	if err != nil {
		return err
	}
	if err := addImage(rec.StateDir, pause); err != nil {
		return err
	}
	step("control plane; nodes: %d", rec.Nodes)
	for n := 1; n <= rec.Nodes; n++ {
		p, err := c.powerOn(n)
		if err != nil {
			return err
		}
		rec.Processes[nodeName(n)] = p
	}
	if err := c.startControlPlane(ctx, rec); err != nil {
		return err
	}
	step("API server ready")
	if err := c.waitNodes(ctx); err != nil {
		return err
	}
	step("all nodes Ready; LAN %s and %s", rec.plan().lan4(), rec.plan().lan6())
	if rec.Detached {
		rec.Owner = rec.Processes["kube-apiserver"]
	}
	rec.Ready = true
	return rec.write()
}

func (c *Cluster) waitNodes(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for n := 1; n <= c.rec.Nodes; n++ {
		group.Go(func() error { return c.waitNode(ctx, n) })
	}
	return group.Wait()
}

// waitNode waits until the node's present boot is Ready and its kube-proxy has written its first rules.
func (c *Cluster) waitNode(ctx context.Context, n int) error {
	api, err := newAPI(c.rec.StateDir)
	if err != nil {
		return err
	}
	boot, err := os.ReadFile(filepath.Join(c.rec.StateDir, nodeName(n), "etc", "boot_id"))
	if err != nil {
		return err
	}
	name := nodeName(n)
	err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
		if !c.Running(n) {
			return false, fmt.Errorf("it ended: %s", lastLines(c.logFile(name+"-init")))
		}
		node, err := api.node(ctx, name)
		return err == nil && node.ready(strings.TrimSpace(string(boot))) && c.proxySynced(ctx, n), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be Ready: %w: %s", name, err, lastLines(c.logFile(name+"-kubelet")))
	}
	return nil
}

// proxySynced asks for the time of the last sync in each family. /healthz says healthy before there was one.
func (c *Cluster) proxySynced(ctx context.Context, n int) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	metrics, err := c.Node(n).Curl(ctx, fmt.Sprintf("http://127.0.0.1:%d/metrics", proxyMetricsPort))
	return err == nil && synced(metrics)
}

// synced is true if both families have been synced, or if the version does not tell them apart.
func synced(metrics string) bool {
	const name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
	families := 0
	for line := range strings.Lines(metrics) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.HasPrefix(series, name) || value == "0" {
			continue
		}
		if series == name {
			return true
		}
		families++
	}
	return families >= 2
}

// Open attaches to a lab that runs, whichever process started it. The error is ErrNotRunning if none of the name does.
func Open(name string) (*Cluster, error) {
	rec, err := readRecord(name)
	if err != nil {
		return nil, err
	}
	if !rec.Ready || !rec.owned() {
		return nil, fmt.Errorf("lab %s: %w", name, ErrNotRunning)
	}
	return newCluster(rec), nil
}

func newCluster(rec record) *Cluster {
	c := &Cluster{
		rec: rec, env: hostEnv(rec.BinDir, rec.ToolDir), hosts: map[string]*Host{},
		spawn: newSpawner(!rec.Detached && rec.Owner == currentProcess()),
	}
	for _, h := range append(rec.lanHosts(), hostAddr{"lan", gatewayByte}) {
		p := rec.plan()
		c.hosts[h.name] = &Host{name: h.name, v4: p.addr4(h.last), v6: p.addr6(h.last), ns: p.netns(h.name), env: c.env}
	}
	return c
}

// change runs a change of one node under the lab's lock, and records what it did to the processes, whether it failed or not.
func (c *Cluster) change(ctx context.Context, n int, fn func(*record) error) error {
	if n < 1 || n > c.rec.Nodes {
		return fmt.Errorf("node %d of a lab of %d nodes", n, c.rec.Nodes)
	}
	unlock, err := lockLab(ctx, c.rec.Name)
	if err != nil {
		return err
	}
	defer unlock()
	rec, err := readRecord(c.rec.Name)
	if err != nil {
		return err
	}
	return errors.Join(fn(&rec), rec.write())
}

// keepLogs moves the logs of a lab that failed to start out of the directory that is about to be removed.
func keepLogs(rec record) string {
	kept := rec.StateDir + "-failed-logs"
	os.RemoveAll(kept)
	if err := os.Rename(filepath.Join(rec.StateDir, "log"), kept); err != nil {
		return "nowhere: " + err.Error()
	}
	return kept
}

func (c *Cluster) logFile(name string) string { return filepath.Join(c.LogDir(), name+".log") }

// lastLines is the end of a log, for an error message.
func lastLines(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "no log"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return filepath.Base(path) + ":\n" + strings.Join(lines[max(0, len(lines)-8):], "\n")
}
