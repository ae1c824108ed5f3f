//go:build linux

package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// authority signs a lab's certificates and writes them into its directory, each as <name>.crt and <name>.key.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// identity is what a certificate says about its holder: the user and group that Kubernetes sees, and where it listens.
type identity struct {
	file, user, group string
	names             []string
	addrs             []netip.Addr
}

// writePKI makes every key, certificate and kubeconfig of a lab.
func writePKI(dir string, p plan, nodes int) error {
	ca, err := newAuthority(dir)
	if err != nil {
		return fmt.Errorf("making the certificate authority: %w", err)
	}
	for _, id := range identities(p, nodes) {
		if err := ca.issue(id); err != nil {
			return fmt.Errorf("making the certificate of %s: %w", id.user, err)
		}
	}
	if err := writeSigningKey(dir); err != nil {
		return fmt.Errorf("making the service account key: %w", err)
	}
	inside := netip.AddrPortFrom(p.addr4(controlByte), apiPort)
	users := []string{"kcm", "sched", "proxy"}
	for n := 1; n <= nodes; n++ {
		users = append(users, nodeName(n))
	}
	for _, user := range users {
		if err := ca.writeKubeconfig(user, user+".kubeconfig", inside); err != nil {
			return err
		}
	}
	return ca.writeKubeconfig("admin", "admin.kubeconfig", netip.AddrPortFrom(p.apiAddr(), apiPort))
}

func identities(p plan, nodes int) []identity {
	const admins = "system:masters"
	ids := []identity{
		{
			file: "apiserver", user: "kube-apiserver",
			names: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
			addrs: []netip.Addr{
				netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr(apiService),
				p.addr4(controlByte), p.addr6(controlByte), p.apiAddr(),
			},
		},
		{file: "apiserver-kubelet", user: "kube-apiserver-kubelet-client", group: admins},
		{file: "front-proxy", user: "front-proxy"},
		{file: "admin", user: "admin", group: admins},
		{file: "kcm", user: "system:kube-controller-manager"},
		{file: "sched", user: "system:kube-scheduler"},
		{file: "proxy", user: "system:kube-proxy"},
	}
	for n := 1; n <= nodes; n++ {
		ids = append(ids, identity{
			file: nodeName(n), user: "system:node:" + nodeName(n), group: "system:nodes",
			names: []string{nodeName(n)},
			addrs: []netip.Addr{p.addr4(nodeByteBase + n), p.addr6(nodeByteBase + n)},
		})
	}
	return ids
}

func newAuthority(dir string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certificate(identity{user: "lab-ca"})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &authority{dir: dir, cert: cert, key: key}
	return ca, ca.write("ca", der, key)
}

func (a *authority) issue(id identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate(id), a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	return a.write(id.file, der, key)
}

func certificate(id identity) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	cert := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.user},
		NotBefore:    time.Now().Add(-time.Hour), // clocks that are set while a lab runs
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     id.names,
	}
	if id.group != "" {
		cert.Subject.Organization = []string{id.group}
	}
	for _, addr := range id.addrs {
		cert.IPAddresses = append(cert.IPAddresses, net.IP(addr.AsSlice()))
	}
	return cert
}

func (a *authority) write(name string, cert []byte, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(a.dir, name+".key"), "EC PRIVATE KEY", der); err != nil {
		return err
	}
	return writePEM(filepath.Join(a.dir, name+".crt"), "CERTIFICATE", cert)
}

// writeSigningKey makes the key pair of the service account tokens.
func writeSigningKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "sa.key"), "EC PRIVATE KEY", private); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", public)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

const kubeconfigText = `apiVersion: v1
kind: Config
current-context: lab
clusters:
- name: lab
  cluster: {server: "https://%s", certificate-authority-data: %s}
users:
- name: %s
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: lab
  context: {cluster: lab, user: %s}
`

// writeKubeconfig writes a kubeconfig that holds all that it needs, so that it may be copied elsewhere.
func (a *authority) writeKubeconfig(user, file string, server netip.AddrPort) error {
	var parts [3]string
	for i, name := range []string{"ca.crt", user + ".crt", user + ".key"} {
		data, err := os.ReadFile(filepath.Join(a.dir, name))
		if err != nil {
			return err
		}
		parts[i] = base64.StdEncoding.EncodeToString(data)
	}
	text := fmt.Sprintf(kubeconfigText, server, parts[0], user, parts[1], parts[2], user)
	return os.WriteFile(filepath.Join(a.dir, file), []byte(text), 0o600)
}
