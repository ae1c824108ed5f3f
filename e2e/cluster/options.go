//go:build linux

package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
)

const (
	// DefaultName is the lab that is meant when no name is given.
	DefaultName = "belfry"
	// DefaultVersion is the Kubernetes that the nested module pins, go.sum included.
	DefaultVersion = "1.35.4"

	maxNodes   = 80
	maxClients = 80
	maxRouters = 9
)

// ProxyMode is the way in which a node's kube-proxy programs the kernel.
type ProxyMode string

// The two modes that Kubernetes has on every kernel.
const (
	ProxyIPTables ProxyMode = "iptables"
	ProxyNFTables ProxyMode = "nftables"
)

// Options say what lab to start. The zero value is a lab of three nodes and one client, called DefaultName.
type Options struct {
	// Name tells this lab from others on the machine: 1 to 12 of a-z, 0-9 and dash, starting with a letter.
	Name string
	// Nodes is the number of nodes, 3 if zero. They are numbered from 1 and called n1, n2, … in Kubernetes too.
	Nodes int
	// Clients is the number of hosts on the LAN that are no part of the cluster, 1 if zero. They are called c1, c2, …
	Clients int
	// Routers is the number of hosts on the LAN that forward packets and can run routing daemons. They are called r1, r2, …
	Routers int
	// StateDir holds certificates, logs, the nodes' disks; <user cache>/belfry/labs/<name> if empty. Down removes it.
	StateDir string
	// Version is the Kubernetes version, without the v; $K8S_VERSION or else DefaultVersion if empty.
	Version string
	// ProxyModes gives single nodes another mode. Nodes that it does not name run nftables, node 2 iptables.
	ProxyModes map[int]ProxyMode
	// Detached labs outlive the process that started them. Others die with it.
	Detached bool
	// Log gets one line for each step; nil discards them.
	Log io.Writer
}

var validName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$`)

// complete fills in the defaults and refuses what cannot be built.
func (o Options) complete() (Options, error) {
	o.Name = or(o.Name, DefaultName)
	o.Nodes = or(o.Nodes, 3)
	o.Clients = or(o.Clients, 1)
	o.Version = version(o.Version)
	if o.Log == nil {
		o.Log = io.Discard
	}
	// The name becomes part of an interface name, of which the kernel keeps 15 characters.
	if !validName.MatchString(o.Name) {
		return o, fmt.Errorf("lab name %q: want 1 to 12 of a-z, 0-9 and dash, starting with a letter", o.Name)
	}
	if o.Nodes < 1 || o.Nodes > maxNodes || o.Clients < 1 || o.Clients > maxClients {
		return o, fmt.Errorf("lab of %d nodes and %d clients: want 1 to %d of each", o.Nodes, o.Clients, maxNodes)
	}
	if o.Routers < 0 || o.Routers > maxRouters {
		return o, fmt.Errorf("lab of %d routers: want up to %d", o.Routers, maxRouters)
	}
	if o.StateDir == "" {
		cache, err := cacheDir("labs")
		if err != nil {
			return o, err
		}
		o.StateDir = filepath.Join(cache, o.Name)
	}
	var err error
	if o.StateDir, err = filepath.Abs(o.StateDir); err != nil {
		return o, fmt.Errorf("finding the state directory: %w", err)
	}
	o.ProxyModes, err = o.proxyModes()
	return o, err
}

// proxyModes names every node's mode, so that a lab opened later knows them too.
func (o Options) proxyModes() (map[int]ProxyMode, error) {
	all := make(map[int]ProxyMode, o.Nodes)
	for n := 1; n <= o.Nodes; n++ {
		all[n] = ProxyNFTables
		if n == 2 {
			all[n] = ProxyIPTables
		}
	}
	for n, mode := range o.ProxyModes {
		if all[n] == "" {
			return nil, fmt.Errorf("proxy mode for node %d of a lab of %d nodes", n, o.Nodes)
		}
		if mode != ProxyIPTables && mode != ProxyNFTables {
			return nil, fmt.Errorf("proxy mode %q of node %d: want %s or %s", mode, n, ProxyIPTables, ProxyNFTables)
		}
		all[n] = mode
	}
	return all, nil
}

func version(v string) string { return or(v, or(os.Getenv("K8S_VERSION"), DefaultVersion)) }

func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
