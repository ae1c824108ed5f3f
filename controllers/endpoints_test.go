package controllers

import (
	"fmt"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestSlicesOfAService: those of others that are in the same part of the index are not its own.
func TestSlicesOfAService(t *testing.T) {
	s, together := newStock(0), 0
	for i := range 3 * sliceBuckets {
		name := fmt.Sprint("service-", i)
		s.add(name, "10.0.0.1", "n1")
		if bucketOf(name) == bucketOf("service-0") {
			together++
		}
	}
	if together < 2 {
		t.Fatalf("nothing to be told apart: %d in a part", together)
	}
	for service, want := range map[types.NamespacedName]int{
		{Namespace: "ns", Name: "service-0"}: 1, {Namespace: "other", Name: "service-0"}: 0, {Namespace: "ns", Name: "service"}: 0,
	} {
		list, err := slicesOf(t.Context(), s, service)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != want || want > 0 && list[0].Labels[discoveryv1.LabelServiceName] != service.Name {
			t.Errorf("%s: %v, want %d of its own", service, list, want)
		}
	}
}
