package kube

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	kubetesting "k8s.io/client-go/testing"
)

// reviews is an API server that knows the tokens "reader" and "guest", of which the first may get /metrics.
type reviews struct {
	asked int
	down  bool
}

func (r *reviews) client() *fake.Clientset {
	c := fake.NewClientset()
	c.PrependReactor("create", "tokenreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		r.asked++
		if r.down {
			return true, nil, errors.New("away")
		}
		review := a.(kubetesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		name := review.Spec.Token
		review.Status.Authenticated = name == "reader" || name == "guest"
		review.Status.User = authenticationv1.UserInfo{Username: name, Groups: []string{"people"}}
		return true, review, nil
	})
	c.PrependReactor("create", "subjectaccessreviews", func(a kubetesting.Action) (bool, runtime.Object, error) {
		review := a.(kubetesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		s := review.Spec
		review.Status.Allowed = s.User == "reader" && len(s.Groups) == 1 && s.NonResourceAttributes.Path == "/metrics" && s.NonResourceAttributes.Verb == "get"
		return true, review, nil
	})
	return c
}

func TestWhoMayReadMetrics(t *testing.T) {
	api, clock := &reviews{}, time.Unix(0, 0)
	g := &guard{client: api.client(), now: func() time.Time { return clock }, answers: map[[32]byte]answer{}}
	h := g.wrap(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	get := func(authorization, path string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for _, tt := range []struct {
		name, authorization, path string
		want, asked               int
	}{
		{"nobody", "", "/metrics", http.StatusUnauthorized, 0},
		{"no bearer", "Basic cmVhZGVy", "/metrics", http.StatusUnauthorized, 0},
		{"an empty token", "Bearer ", "/metrics", http.StatusUnauthorized, 0},
		{"a stranger", "Bearer stranger", "/metrics", http.StatusUnauthorized, 1},
		{"a guest", "Bearer guest", "/metrics", http.StatusForbidden, 1},
		{"a reader", "Bearer reader", "/metrics", http.StatusOK, 1},
		{"a reader again", "Bearer reader", "/metrics", http.StatusOK, 0},
		{"a reader elsewhere", "Bearer reader", "/other", http.StatusForbidden, 1},
	} {
		before := api.asked
		if got := get(tt.authorization, tt.path); got != tt.want || api.asked-before != tt.asked {
			t.Errorf("%s: status %d, want %d; asked %d times, want %d", tt.name, got, tt.want, api.asked-before, tt.asked)
		}
	}
	clock = clock.Add(yesHolds)
	api.down = true
	if got := get("Bearer reader", "/metrics"); got != http.StatusServiceUnavailable {
		t.Errorf("an old answer while the API server is away: status %d", got)
	}
	api.down = false
	if got := get("Bearer reader", "/metrics"); got != http.StatusOK {
		t.Errorf("after it is back: status %d", got)
	}
	for i := range 2 * maxAnswers {
		g.remember([32]byte{byte(i), byte(i >> 8)}, http.StatusOK)
	}
	if len(g.answers) > maxAnswers {
		t.Errorf("%d answers are kept", len(g.answers))
	}
}
