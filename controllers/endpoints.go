package controllers

import (
	"context"
	"fmt"
	"hash/fnv"
	"strconv"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// sliceBucket is the index of EndpointSlices by a part of the hash of their Service's name.
const sliceBucket = "bucket"

// sliceBuckets is how many parts there are. An index with an entry for each Service takes half as much memory as the slices.
const sliceBuckets = 1024

func indexSlices(indexer client.FieldIndexer) error {
	err := indexer.IndexField(context.Background(), &discoveryv1.EndpointSlice{}, sliceBucket, func(o client.Object) []string {
		return []string{bucketOf(serviceOf(o).Name)}
	})
	if err != nil {
		return fmt.Errorf("indexing EndpointSlices: %w", err)
	}
	return nil
}

func bucketOf(service string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(service))
	return strconv.Itoa(int(h.Sum32() % sliceBuckets))
}

// slicesOf lists the EndpointSlices of a Service.
func slicesOf(ctx context.Context, cache client.Reader, k types.NamespacedName) ([]discoveryv1.EndpointSlice, error) {
	var list discoveryv1.EndpointSliceList
	err := cache.List(ctx, &list, client.InNamespace(k.Namespace), client.MatchingFields{sliceBucket: bucketOf(k.Name)}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("listing EndpointSlices of %s: %w", k, err)
	}
	of := list.Items[:0]
	for i := range list.Items {
		if serviceOf(&list.Items[i]) == k {
			of = append(of, list.Items[i])
		}
	}
	return of, nil
}
