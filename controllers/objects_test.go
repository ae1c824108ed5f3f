package controllers

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fakeCache holds Services by name.
type fakeCache map[types.NamespacedName]*corev1.Service

func (c fakeCache) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	s, ok := c[key]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, key.Name)
	}
	*o.(*corev1.Service) = *s
	return nil
}

func (c fakeCache) List(_ context.Context, l client.ObjectList, _ ...client.ListOption) error {
	for _, s := range c {
		l.(*corev1.ServiceList).Items = append(l.(*corev1.ServiceList).Items, *s)
	}
	return nil
}

func version(uid, rv string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID(uid), ResourceVersion: rv}}
}

func TestNewestVersionOfAService(t *testing.T) {
	for _, tc := range []struct {
		name   string
		cached *corev1.Service
		ahead  *corev1.Service
		gone   types.UID
		want   string // resource version; empty: there is none
		keeps  bool   // what is ahead of the cache is remembered
	}{
		{"neither", nil, nil, "", "", false},
		{"the cache alone", version("1", "90"), nil, "", "90", false},
		{"the cache lags behind our write", version("1", "90"), version("1", "100"), "", "100", true},
		{"the cache shows our write", version("1", "100"), version("1", "100"), "", "100", false},
		{"the cache shows more than our write", version("1", "101"), version("1", "100"), "", "101", false},
		{"the cache has yet to see it at all", nil, version("1", "100"), "", "100", true},
		{"the cache saw it vanish", nil, version("1", "100"), "1", "", false},
		{"the cache saw only an earlier one vanish", nil, version("2", "100"), "1", "100", true},
		{"versions that are no numbers", version("1", "abc"), version("1", "100"), "", "abc", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := fakeCache{}
			if tc.cached != nil {
				cache[named("web")] = tc.cached
			}
			o := newObjects(cache, newSlimmer())
			if tc.ahead != nil {
				if _, err := o.saw(tc.ahead); err != nil {
					t.Fatal(err)
				}
			}
			s, err := o.service(t.Context(), named("web"), map[types.UID]struct{}{tc.gone: {}})
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if s != nil {
				got = s.ResourceVersion
			}
			if got != tc.want {
				t.Errorf("version %q, want %q", got, tc.want)
			}
			if keeps := o.ahead[named("web")] != nil; keeps != tc.keeps {
				t.Errorf("remembered: %v, want %v", keeps, tc.keeps)
			}
			keys, err := o.keys(t.Context())
			if err != nil || len(keys) != min(len(cache)+len(o.ahead), 1) {
				t.Errorf("keys = %v, %v", keys, err)
			}
		})
	}
}
