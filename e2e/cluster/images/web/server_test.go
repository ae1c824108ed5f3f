package main

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestLine(t *testing.T) {
	s := server{pod: "web-1", node: "n2"}
	for client, local := range map[string]string{"192.0.2.1:40000": "10.0.0.1:8080", "[2001:db8::1]:40000": "[2001:db8::2]:8080"} {
		addr, err := net.ResolveTCPAddr("tcp", local)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.describe(client, addr), "pod=web-1 node=n2 client="+client+" port=8080\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestLineBehindAProxy(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	r.Header.Set("X-Forwarded-For", "192.0.2.7, 192.0.2.8")
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8080}))
	if got := (server{pod: "p", node: "n"}).line(r); !strings.HasSuffix(got, " port=8080 forwarded=192.0.2.7,192.0.2.8\n") {
		t.Errorf("got %q", got)
	}
}

func TestStreamGoesOn(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(server{pod: "p", node: "n"}.stream))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for range 3 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "pod=p node=n client=127.0.0.1:") {
			t.Fatalf("line %q: %v", lines.Text(), lines.Err())
		}
	}
}

func TestRunEndsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (server{}).run(ctx, []string{"0"}, []string{"0"}, []string{"0"}); err != nil {
		t.Error(err)
	}
}

func TestRunFailsWithAPort(t *testing.T) {
	if err := (server{}).run(t.Context(), []string{"0"}, nil, []string{"no port"}); err == nil {
		t.Error("a port that cannot be opened is no error")
	}
}
