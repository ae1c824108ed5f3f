// Package gitops installs the chart together with a user's own objects as docs/install.md says, with the very code that Flux
// applies and waits with, and checks the page's manifests with Flux' own types. It is a module of its own, so that the product
// does not depend on them.
package gitops
