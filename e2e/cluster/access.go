//go:build linux

package cluster

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Name returns the lab's name.
func (c *Cluster) Name() string { return c.rec.Name }

// StateDir returns the directory of everything that the lab writes.
func (c *Cluster) StateDir() string { return c.rec.StateDir }

// LogDir returns the directory of the logs: kube-apiserver.log, n1-kubelet.log, n1-proxy.log, … Down removes it.
func (c *Cluster) LogDir() string { return filepath.Join(c.rec.StateDir, "log") }

// AuditLog returns the API server's audit log: a JSON line for each write, without the objects.
func (c *Cluster) AuditLog() string { return auditLog(c.rec.StateDir) }

// Kubeconfig returns the path of the administrator's kubeconfig. It works in the machine's root namespace.
func (c *Cluster) Kubeconfig() string {
	return filepath.Join(c.rec.StateDir, "pki", "admin.kubeconfig")
}

// Binaries returns the Kubernetes programs that the lab runs.
func (c *Cluster) Binaries() Binaries { return Binaries{Dir: c.rec.BinDir} }

// Env returns the caller's environment, changed so that kubectl is the lab's and talks to the lab, past any proxy.
func (c *Cluster) Env() []string {
	api := c.rec.plan().apiAddr().String()
	return append(slices.Clone(c.env), "KUBECONFIG="+c.Kubeconfig(), "NO_PROXY="+strings.Trim(os.Getenv("NO_PROXY")+","+api, ","))
}

// LAN4 returns the IPv4 network of the LAN. Its hosts end in 1 (gateway), 10 (control plane), 10+n (node n), 100+i (client i) and 180+i (router i);
// 200 to 254 are free for address pools. The IPv6 network has the same digits.
func (c *Cluster) LAN4() netip.Prefix { return c.rec.plan().lan4() }

// LAN6 returns the IPv6 network of the LAN.
func (c *Cluster) LAN6() netip.Prefix { return c.rec.plan().lan6() }

// Addr4 returns the LAN's IPv4 address with the given last byte.
func (c *Cluster) Addr4(last int) netip.Addr { return c.rec.plan().addr4(last) }

// Addr6 returns the LAN's IPv6 address that ends in the same digits: 200 gives …::200.
func (c *Cluster) Addr6(last int) netip.Addr { return c.rec.plan().addr6(last) }

// Host returns n1, c1, r1, cp or lan.
func (c *Cluster) Host(name string) (*Host, error) {
	if h := c.hosts[name]; h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("lab %s has no host %q; it has %s", c.rec.Name, name,
		strings.Join(slices.Sorted(maps.Keys(c.hosts)), ", "))
}

// LAN returns the namespace of the bridge br0, to which host x is connected by the port p-x.
func (c *Cluster) LAN() *Host { return c.hosts["lan"] }

// Node returns node n, from 1. It panics if there is no such node.
func (c *Cluster) Node(n int) *Host { return c.numbered("node", nodeName(n)) }

// Client returns client i, from 1. It panics if there is no such client.
func (c *Cluster) Client(i int) *Host { return c.numbered("client", clientName(i)) }

func (c *Cluster) numbered(kind, name string) *Host {
	if h := c.hosts[name]; h != nil {
		return h
	}
	panic(fmt.Sprintf("lab %s has no %s %s", c.rec.Name, kind, name))
}

// Nodes returns all nodes in order, running or not.
func (c *Cluster) Nodes() []*Host {
	all := make([]*Host, 0, c.rec.Nodes)
	for n := 1; n <= c.rec.Nodes; n++ {
		all = append(all, c.Node(n))
	}
	return all
}

// Clients returns all clients in order.
func (c *Cluster) Clients() []*Host {
	all := make([]*Host, 0, c.rec.Clients)
	for i := 1; i <= c.rec.Clients; i++ {
		all = append(all, c.Client(i))
	}
	return all
}

// NodeByName returns the number of a node that Kubernetes knows by the name: 2 for n2.
func (c *Cluster) NodeByName(name string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "n"))
	if err != nil || n < 1 || n > c.rec.Nodes || nodeName(n) != name {
		return 0, fmt.Errorf("lab %s has no node %q", c.rec.Name, name)
	}
	return n, nil
}
