// Package plan decides what a node should be saying right now.
//
//	World (configuration, Services with their endpoints, nodes with what their speakers tell) + node name ──Make──▶ Plan
//
// It is pure. The speaker carries the Plan out; the controller and the kubectl plugin call the very same function to tell
// users what a speaker does, and why it withholds the rest.
package plan
