// Package speaker tests the program as it runs on nodes, before real routers: speakers in network namespaces of their own, a real API
// server in which the tests write what the controller, the kubelet and kube-proxy would write, and FRR and BIRD, in whose
// kernels the routes must be. All of it is in one sandbox and ends with the test.
package speaker
