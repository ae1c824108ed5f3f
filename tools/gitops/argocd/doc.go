// Package argocd installs the chart together with a user's own objects as docs/install.md says, with the very code that Argo CD
// applies and compares with. It is a module of its own, for that code comes with most of Kubernetes; for the same reason its
// tests are among the long ones.
package argocd
