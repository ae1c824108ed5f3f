package kube

import (
	"errors"
	"os"
	"strings"
)

// namespaceFile is where the kubelet mounts the namespace of a pod's service account.
const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// OwnNamespace returns the namespace that the program runs in: the flag's value, else POD_NAMESPACE, else what the
// kubelet mounted. It fails outside of a cluster when neither is set.
func OwnNamespace(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns, nil
	}
	b, err := os.ReadFile(namespaceFile)
	if ns := strings.TrimSpace(string(b)); err == nil && ns != "" {
		return ns, nil
	}
	return "", errors.New("the namespace is unknown: set --namespace, or POD_NAMESPACE, or run in a pod with a service account")
}
