//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

const apiPort = 6443

// auditPolicy keeps who wrote what, and how often: one line for each write that the API server answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// daemon is a program of the control plane.
type daemon struct {
	name string
	args []string
}

func etcd(state string) daemon {
	return daemon{"etcd", []string{
		"--data-dir=" + filepath.Join(state, "etcd"),
		"--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync",
	}}
}

func apiserver(p plan, state string) daemon {
	pki := func(file string) string { return filepath.Join(state, "pki", file) }
	return daemon{"kube-apiserver", []string{
		"--etcd-servers=http://127.0.0.1:2379", "--allow-privileged",
		"--advertise-address=" + p.addr4(controlByte).String(), fmt.Sprintf("--secure-port=%d", apiPort),
		"--client-ca-file=" + pki("ca.crt"), "--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet.crt"), "--kubelet-client-key=" + pki("apiserver-kubelet.key"),
		"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file=" + pki("sa.pub"), "--service-account-signing-key-file=" + pki("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		// envtest's default is a /24, which ends at 254 Services.
		"--service-cluster-ip-range=" + serviceCIDRs,
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--requestheader-client-ca-file=" + pki("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + pki("front-proxy.crt"), "--proxy-client-key-file=" + pki("front-proxy.key"),
		"--enable-aggregator-routing",
		"--audit-policy-file=" + filepath.Join(state, "audit-policy.yaml"), "--audit-log-path=" + auditLog(state),
	}}
}

func controllerManager(state string) daemon {
	pki := func(file string) string { return filepath.Join(state, "pki", file) }
	return daemon{"kube-controller-manager", []string{
		"--kubeconfig=" + pki("kcm.kubeconfig"), "--authentication-kubeconfig=" + pki("kcm.kubeconfig"),
		"--authorization-kubeconfig=" + pki("kcm.kubeconfig"), "--service-account-private-key-file=" + pki("sa.key"),
		"--root-ca-file=" + pki("ca.crt"), "--use-service-account-credentials", "--leader-elect=false",
		"--cluster-cidr=" + podCIDRs, "--service-cluster-ip-range=" + serviceCIDRs, "--allocate-node-cidrs=false",
		// A dead node is NotReady after ten seconds, not forty.
		"--node-monitor-period=2s", "--node-monitor-grace-period=10s",
		// Thousands of Services at once must wait for the product, not for this.
		"--kube-api-qps=2000", "--kube-api-burst=2000",
	}}
}

func scheduler(state string) daemon {
	config := filepath.Join(state, "pki", "sched.kubeconfig")
	return daemon{"kube-scheduler", []string{
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--leader-elect=false",
	}}
}

func auditLog(state string) string { return filepath.Join(state, "log", "audit.log") }

// startControlPlane brings up the four programs in the namespace cp. The API server is up when it returns.
func (c *Cluster) startControlPlane(ctx context.Context, rec *record) error {
	state := rec.StateDir
	if err := os.WriteFile(filepath.Join(state, "audit-policy.yaml"), []byte(auditPolicy), 0o644); err != nil {
		return err
	}
	for _, d := range []daemon{etcd(state), apiserver(rec.plan(), state)} {
		if err := c.startDaemon(rec, d); err != nil {
			return err
		}
	}
	if err := c.waitAPI(ctx, rec); err != nil {
		return err
	}
	for _, d := range []daemon{controllerManager(state), scheduler(state)} {
		if err := c.startDaemon(rec, d); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(state, "api-ready"), nil, 0o644)
}

func (c *Cluster) startDaemon(rec *record, d daemon) error {
	cp, err := c.Host("cp")
	if err != nil {
		return err
	}
	args := append([]string{"nsenter", "--net=" + cp.NetNS(), "--", filepath.Join(rec.BinDir, d.name)}, d.args...)
	p, err := c.spawn.start(c.logFile(d.name), toolEnv(rec.BinDir, rec.ToolDir), args...)
	if err != nil {
		return err
	}
	rec.Processes[d.name] = p
	return rec.write()
}

// waitAPI waits until the API server says that it is ready, for as long as it and etcd live.
func (c *Cluster) waitAPI(ctx context.Context, rec *record) error {
	api, err := newAPI(rec.StateDir)
	if err != nil {
		return err
	}
	return poll(ctx, 50*time.Millisecond, func() (bool, error) {
		for _, name := range []string{"etcd", "kube-apiserver"} {
			if !rec.Processes[name].alive() {
				return false, fmt.Errorf("%s ended: %s", name, lastLines(c.logFile(name)))
			}
		}
		_, err := api.get(ctx, "/readyz")
		return err == nil, nil
	})
}
