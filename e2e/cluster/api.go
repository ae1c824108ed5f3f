//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// api asks the API server the few things that the lab itself wants to know. client-go would make every start of the lab command
// link for seconds.
type api struct {
	server string
	client *http.Client
}

func newAPI(state string) (*api, error) {
	data, err := os.ReadFile(filepath.Join(state, "pki", "admin.kubeconfig"))
	if err != nil {
		return nil, err
	}
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Cert []byte `json:"client-certificate-data"`
				Key  []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	if err := yaml.Unmarshal(data, &config); err != nil || len(config.Clusters) == 0 || len(config.Users) == 0 {
		return nil, fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	cert, err := tls.X509KeyPair(config.Users[0].User.Cert, config.Users[0].User.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}},
		DisableKeepAlives: true,
	}
	return &api{server: config.Clusters[0].Cluster.Server, client: &http.Client{Transport: transport, Timeout: 5 * time.Second}}, nil
}

func (a *api) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.server+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("getting %s: %s", path, resp.Status)
	}
	return body, err
}

// nodeState is what the lab wants to know of a Node object.
type nodeState struct {
	Spec struct {
		Taints []struct {
			Key string `json:"key"`
		} `json:"taints"`
	} `json:"spec"`
	Status struct {
		Conditions []struct{ Type, Status string } `json:"conditions"`
		NodeInfo   struct {
			BootID string `json:"bootID"`
		} `json:"nodeInfo"`
	} `json:"status"`
}

func (a *api) node(ctx context.Context, name string) (nodeState, error) {
	var node nodeState
	body, err := a.get(ctx, "/api/v1/nodes/"+name)
	if err != nil {
		return node, err
	}
	return node, json.Unmarshal(body, &node)
}

// ready is true when pods can be scheduled to the node, in the boot that is meant.
func (n nodeState) ready(bootID string) bool {
	if n.Status.NodeInfo.BootID != bootID {
		return false
	}
	for _, t := range n.Spec.Taints {
		// Taken away by a controller of its own, a moment after the condition. Taints of users are their business.
		if strings.HasPrefix(t.Key, "node.kubernetes.io/not-ready") || strings.HasPrefix(t.Key, "node.kubernetes.io/unreachable") {
			return false
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}
