package kube

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// MetricsOptions says how /metrics is served: plain, or over TLS with a certificate made at the start and only to those
// whom the API server knows (TokenReview) and lets get the path (SubjectAccessReview).
func MetricsOptions(address string, secure bool) metricsserver.Options {
	if !secure {
		return metricsserver.Options{BindAddress: address}
	}
	return metricsserver.Options{BindAddress: address, SecureServing: true, FilterProvider: askAPIServer}
}

func askAPIServer(cfg *rest.Config, h *http.Client) (metricsserver.Filter, error) {
	c, err := kubernetes.NewForConfigAndClient(cfg, h)
	if err != nil {
		return nil, fmt.Errorf("building the client that asks who may read metrics: %w", err)
	}
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		g := &guard{client: c, now: time.Now, answers: map[[sha256.Size]byte]answer{}}
		return g.wrap(log, next), nil
	}, nil
}

// A scraper comes twice a minute; what the API server said of it holds for some of its visits. Refusals hold shorter, and
// so many tokens at once no scraper has.
const (
	yesHolds   = 2 * time.Minute
	noHolds    = 10 * time.Second
	maxAnswers = 256
	askFor     = 10 * time.Second
)

// answer is what the API server said of a token and a path: an HTTP status.
type answer struct {
	status int
	until  time.Time
}

// guard lets those pass whom the API server lets get the path. Many requests come at once: it holds a lock for its answers.
type guard struct {
	client kubernetes.Interface
	now    func() time.Time

	mu      sync.Mutex
	answers map[[sha256.Size]byte]answer
}

func (g *guard) wrap(log logr.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !found || token == "" {
			http.Error(w, "a bearer token is needed", http.StatusUnauthorized)
			return
		}
		status, err := g.status(r.Context(), token, r.Method, r.URL.Path)
		if err != nil {
			log.Error(err, "nobody knows who may read metrics")
			http.Error(w, "the API server did not say whether you may", http.StatusServiceUnavailable)
			return
		}
		if status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *guard) status(ctx context.Context, token, method, path string) (int, error) {
	key := sha256.Sum256([]byte(method + " " + path + " " + token))
	if a, known := g.recall(key); known {
		return a.status, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	status, err := g.ask(ctx, token, method, path)
	if err == nil {
		g.remember(key, status)
	}
	return status, err
}

func (g *guard) ask(ctx context.Context, token, method, path string) (int, error) {
	who, err := g.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing a token: %w", err)
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	u := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range u.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err := g.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: u.Username, UID: u.UID, Groups: u.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: strings.ToLower(method)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, fmt.Errorf("reviewing access of %s: %w", u.Username, err)
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}

func (g *guard) recall(key [sha256.Size]byte) (answer, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, known := g.answers[key]
	return a, known && g.now().Before(a.until)
}

func (g *guard) remember(key [sha256.Size]byte, status int) {
	holds := noHolds
	if status == http.StatusOK {
		holds = yesHolds
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.answers) >= maxAnswers {
		clear(g.answers)
	}
	g.answers[key] = answer{status, g.now().Add(holds)}
}
