package controllers

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// forgetful is an API server that has many Services, and forgets where a reader was after its first page.
type forgetful struct {
	client.Reader
	services int
}

func (f forgetful) List(_ context.Context, into client.ObjectList, opts ...client.ListOption) error {
	list, is := into.(*corev1.ServiceList)
	if !is {
		return nil
	}
	o := (&client.ListOptions{}).ApplyOptions(opts)
	if o.Continue != "" {
		return apierrors.NewResourceExpired("the continue token is too old")
	}
	n := f.services
	if o.Limit > 0 && int(o.Limit) < n {
		n, list.Continue = int(o.Limit), "more"
	}
	for i := range n {
		s := version("1", "100")
		s.Name = fmt.Sprint("s", i)
		list.Items = append(list.Items, *s)
	}
	return nil
}

// TestForgottenPages: a list whose next page can be had no more is read at once.
func TestForgottenPages(t *testing.T) {
	for _, n := range []int{0, 7, page, page + 1, 3 * page} {
		a := &allocator{live: forgetful{services: n}, objects: newObjects(nil, newSlimmer())}
		d, err := a.readAll(t.Context())
		if err != nil || len(d.services) != n || len(a.objects.ahead) != n {
			t.Errorf("of %d Services %d are read, %v", n, len(d.services), err)
		}
	}
}
