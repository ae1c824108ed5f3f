// Package v1beta1 holds the objects that users write and read: the API group belfry.dev, version v1beta1.
//
// It is the lowest floor of the house: types, and every annotation, label, taint and condition name once. Rules on a
// single object are CEL expressions beside the fields; rules across objects belong to internal/spec.
//
// +kubebuilder:object:generate=true
// +groupName=belfry.dev
package v1beta1
