package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// server answers as one pod on one node.
type server struct {
	pod, node string
}

// run serves all ports until the context ends or one of them fails.
func (s server) run(ctx context.Context, httpPorts, udpPorts, echoPorts []string) error {
	group, serving := errgroup.WithContext(ctx)
	for _, port := range httpPorts {
		group.Go(func() error { return s.serveHTTP(serving, port) })
	}
	for _, port := range udpPorts {
		group.Go(func() error { return s.serveUDP(serving, port) })
	}
	for _, port := range echoPorts {
		group.Go(func() error { return s.serveEcho(serving, port) })
	}
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil // told to end
}

func (s server) serveHTTP(ctx context.Context, port string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.once)
	mux.HandleFunc("GET /stream", s.stream)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	srv := &http.Server{Addr: ":" + port, Handler: mux}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	return srv.ListenAndServe()
}

func (s server) once(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.line(r)) }

// stream is for connections that are held for long.
func (s server) stream(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	out := http.NewResponseController(w)
	for {
		if _, err := io.WriteString(w, s.line(r)); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func (s server) line(r *http.Request) string {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	line := s.describe(r.RemoteAddr, local)
	if by := r.Header.Get("X-Forwarded-For"); by != "" {
		line = strings.TrimSuffix(line, "\n") + " forwarded=" + strings.ReplaceAll(by, " ", "") + "\n"
	}
	return line
}

func (s server) describe(client string, local net.Addr) string {
	_, port, _ := net.SplitHostPort(local.String())
	return fmt.Sprintf("pod=%s node=%s client=%s port=%s\n", s.pod, s.node, client, port)
}

func (s server) serveUDP(ctx context.Context, port string) error {
	conn, err := net.ListenPacket("udp", ":"+port)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	buf := make([]byte, 65535)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		// A client that is gone is no reason to end.
		_, _ = conn.WriteTo([]byte(s.describe(from.String(), conn.LocalAddr())), from)
	}
}

func (s server) serveEcho(ctx context.Context, port string) error {
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}
