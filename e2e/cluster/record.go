//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// registry lists the machine's labs. It is on a file system that a reboot empties, like the labs themselves.
const registry = "/run/belfry-lab"

// ErrNotRunning says that no lab of that name runs.
var ErrNotRunning = errors.New("no such lab is running")

// record is all that other processes need to know about a lab, and all that Down needs to find its leftovers.
type record struct {
	Name       string            `json:"name"`
	Index      int               `json:"index"`
	StateDir   string            `json:"stateDir"`
	Version    string            `json:"version"`
	Nodes      int               `json:"nodes"`
	Clients    int               `json:"clients"`
	Routers    int               `json:"routers"`
	ProxyModes map[int]ProxyMode `json:"proxyModes"`
	BinDir     string            `json:"binDir"`
	ToolDir    string            `json:"toolDir"`
	CNIDir     string            `json:"cniDir"`
	BootID     string            `json:"bootID"`
	// Owner is the process with which the lab ends: the one that started it or, for a detached lab, its own API server.
	Owner    process `json:"owner"`
	Detached bool    `json:"detached"`
	// Ready is false while the lab is being started.
	Ready bool `json:"ready"`
	// Processes holds the processes that were started, by name: etcd, kube-apiserver, …, and n1, n2, … for the nodes.
	Processes map[string]process `json:"processes"`
}

func recordPath(name string) string { return filepath.Join(registry, name+".json") }

// lockRegistry guards all records. It is held only to read or change them, never while something is started.
func lockRegistry(ctx context.Context) (func(), error) {
	if err := os.MkdirAll(registry, 0o755); err != nil {
		return nil, err
	}
	return lockFile(ctx, filepath.Join(registry, "lock"))
}

// lockLab keeps two processes from starting, stopping or changing the nodes of the same lab at once.
func lockLab(ctx context.Context, name string) (func(), error) {
	if err := os.MkdirAll(registry, 0o755); err != nil {
		return nil, err
	}
	return lockFile(ctx, filepath.Join(registry, name+".lock"))
}

func readRecord(name string) (record, error) {
	data, err := os.ReadFile(recordPath(name))
	if errors.Is(err, os.ErrNotExist) {
		return record{}, fmt.Errorf("lab %s: %w", name, ErrNotRunning)
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("reading the record of lab %s: %w", name, err)
	}
	return r, nil
}

func (r record) write() error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(recordPath(r.Name), append(data, '\n'))
}

// owned says whether somebody still answers for the lab. What nobody owns is a leftover.
func (r record) owned() bool { return r.BootID == bootID() && r.Owner.alive() }

// claim takes a free index for a new lab and writes its first record. The caller holds the lab's own lock.
func claim(ctx context.Context, r record) (record, error) {
	unlock, err := lockRegistry(ctx)
	if err != nil {
		return r, err
	}
	defer unlock()
	taken, err := takenIndexes()
	if err != nil {
		return r, err
	}
	first := preferredIndex(r.Name)
	for i := range maxIndex {
		r.Index = (first + i) % maxIndex
		if !taken[r.Index] && rootLinkFree(plan{index: r.Index}) {
			return r, r.write()
		}
	}
	return r, fmt.Errorf("no free addresses: %d labs have records in %s", len(taken), registry)
}

func takenIndexes() (map[int]bool, error) {
	names, err := recorded()
	taken := map[int]bool{}
	for _, name := range names {
		// A lab that ends between the two reads is no problem, a record that cannot be read is.
		if r, e := readRecord(name); e == nil {
			taken[r.Index] = true
		} else if !errors.Is(e, ErrNotRunning) {
			err = errors.Join(err, e)
		}
	}
	return taken, err
}

// recorded lists the labs that have a record, whether somebody owns them or not.
func recorded() ([]string, error) {
	paths, err := filepath.Glob(recordPath("*"))
	names := make([]string, 0, len(paths))
	for _, path := range paths {
		names = append(names, strings.TrimSuffix(filepath.Base(path), ".json"))
	}
	return names, err
}

// List returns the names of the running labs, in order.
func List() ([]string, error) {
	names, err := recorded()
	running := names[:0]
	for _, name := range names {
		if r, e := readRecord(name); e == nil && r.owned() && r.Ready {
			running = append(running, name)
		}
	}
	return running, err
}
