// Package integration runs the controller against a real kube-apiserver. Its tests need KUBEBUILDER_ASSETS, a directory
// with kube-apiserver and etcd; `make test-integration` builds them and sets it.
package integration
