// Package cluster runs a real Kubernetes of several nodes on one Linux machine, for the demo and the end-to-end tests.
//
// Everything is the real thing: kube-apiserver, etcd, kubelet, kube-proxy, containerd, runc and the CNI bridge plugin. Only the
// machines are made of namespaces. A lab called "x" is:
//
//	root namespace ── veth bf-x ──┐                      all of these are network namespaces, bf-x-<host>
//	                              │
//	   ┌─ lan ────────────────────┼──────────────────────────────────────────┐
//	   │  bridge br0, .1          │                                          │
//	   └──┬─────────────┬─────────┼───┬────────────────┬─────────────────┬───┘
//	      │ p-n1        │ p-n2        │ p-n3           │ p-cp            │ p-c1
//	   ┌──┴───┐      ┌──┴───┐      ┌──┴───┐      ┌─────┴─────┐      ┌────┴────┐
//	   │ n1   │      │ n2   │      │ n3   │      │ cp        │      │ c1      │
//	   │ .11  │      │ .12  │      │ .13  │      │ .10       │      │ .101    │
//	   └──────┘      └──────┘      └──────┘      └───────────┘      └─────────┘
//	    nodes: also mount, pid and uts            etcd, apiserver,   clients: on the LAN,
//	    namespaces; kubelet, kube-proxy,          controller         no part of the cluster
//	    containerd, CNI bridge cni0               manager, scheduler
//
// Every trace that a lab leaves on the machine carries its name, so several labs run side by side, and Down finds all of it.
// The package does not know the product: it builds images out of files that it is given, and loads them.
package cluster
