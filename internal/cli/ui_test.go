package cli

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestGuard: who was not told the key, who asks by another name, and who wants more than to look is not let in.
func TestGuard(t *testing.T) {
	const host, key = "127.0.0.1:1234", "K"
	g := guard(host, key, func(string) {}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		name, method, host, path, cookie string
		want                             int
	}{
		{"the address that was printed", "GET", host, "/?key=K", "", http.StatusSeeOther},
		{"with the cookie", "GET", host, "/", "K", http.StatusTeapot},
		{"events with the cookie", "GET", host, "/events", "K", http.StatusTeapot},
		{"without key", "GET", host, "/", "", http.StatusForbidden},
		{"with another key", "GET", host, "/?key=X", "", http.StatusForbidden},
		{"with another cookie", "GET", host, "/explain?what=node/n1", "X", http.StatusForbidden},
		{"the key elsewhere than on the page", "GET", host, "/events?key=K", "", http.StatusForbidden},
		{"by another name", "GET", "evil.example:1234", "/", "K", http.StatusMisdirectedRequest},
		{"writing", "POST", host, "/", "K", http.StatusMethodNotAllowed},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Host = c.host
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: cookie, Value: c.cookie})
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: there is no content security policy", c.name)
		}
	}
}
