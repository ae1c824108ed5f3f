package cli

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/belfry-lb/belfry/internal/explain"
)

//go:embed page
var page embed.FS

func (a *app) newUI() *cobra.Command {
	var port uint16
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve a page on 127.0.0.1 with a picture of the network as it is",
		Long: "Serves a page that shows nodes, who answers for which address, pools and what is wrong, live, and explains on a click.\n" +
			"It reads with your own kubeconfig, writes nothing and puts nothing into the cluster. The address that it prints holds a key,\n" +
			"so that others on this machine cannot look through your eyes.",
		GroupID: groupSee, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.ui(cmd.Context(), port) },
	}
	cmd.Flags().Uint16Var(&port, "port", 0, "port on 127.0.0.1; 0: any that is free")
	return cmd
}

func (a *app) ui(ctx context.Context, port uint16) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	l, err := a.newLive(ctx, c, needEndpoints)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	p := newPainter(l)
	server := &http.Server{
		Handler:           guard(listener.Addr().String(), rand.Text(), a.tellURL(listener), p.handler(a)),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	all.Go(func() error { return p.run(ctx) })
	all.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	all.Go(func() error { <-ctx.Done(); return server.Close() })
	return all.Wait()
}

func (a *app) tellURL(l net.Listener) func(key string) {
	return func(key string) {
		fmt.Fprintf(a.io.Out, "http://%s/?key=%s\nCtrl-C ends it.\n", l.Addr(), key)
	}
}

// cookie holds the key after the first request.
const cookie = "belfry-key"

// guard lets nobody in but who was told the key. It looks at the Host, too: a page of somebody else whose name resolves to
// 127.0.0.1 is not let in.
func guard(host, key string, tell func(string), next http.Handler) http.Handler {
	tell(key)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		c, err := r.Cookie(cookie)
		switch {
		case r.Host != host:
			http.Error(w, "ask for "+host, http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet:
			http.Error(w, "this page only shows", http.StatusMethodNotAllowed)
		case r.URL.Path == "/" && r.URL.Query().Get("key") == key:
			http.SetCookie(w, &http.Cookie{Name: cookie, Value: key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) // #nosec G124 -- there is no TLS on the loopback interface
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case err != nil || c.Value != key:
			http.Error(w, "open the address that kubectl belfry ui has printed: it holds the key", http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// painter owns the view. It draws it anew when something changes, and answers questions about it.
type painter struct {
	live      *live
	questions chan question
	joins     chan chan<- []byte
	leaves    chan chan<- []byte
}

type question struct {
	about  subject
	answer chan explain.Explanation
}

func newPainter(l *live) *painter {
	return &painter{l, make(chan question), make(chan chan<- []byte), make(chan chan<- []byte)}
}

// run draws until ctx ends.
func (p *painter) run(ctx context.Context) error {
	watchers := map[chan<- []byte]bool{}
	view, picture, err := p.draw(ctx)
	if err != nil {
		return err
	}
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case q := <-p.questions:
			q.answer <- explainIn(view, q.about)
		case w := <-p.joins:
			watchers[w] = true
			w <- picture
		case w := <-p.leaves:
			delete(watchers, w)
		case <-p.live.changed:
			if settled == nil {
				settled = time.After(settle)
			}
		case <-settled:
			settled = nil
			if view, picture, err = p.draw(ctx); err != nil {
				return err
			}
			for w := range watchers {
				send(w, picture)
			}
		}
	}
}

// send never waits: a watcher that has not taken the last picture misses this one, and gets the next.
func send(w chan<- []byte, picture []byte) {
	select {
	case w <- picture:
	default:
	}
}

func (p *painter) draw(ctx context.Context) (*explain.View, []byte, error) {
	f, err := p.live.gatherer.facts(ctx, needEndpoints)
	if err != nil {
		return nil, nil, err
	}
	v := explain.Look(f)
	picture, err := json.Marshal(v.Draw())
	return v, picture, err
}

func (p *painter) handler(a *app) http.Handler {
	mux := http.NewServeMux()
	for path, name := range map[string]string{"/{$}": "index.html", "/page.js": "page.js", "/draw.js": "draw.js", "/page.css": "page.css", "/favicon.ico": "icon.svg"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, page, "page/"+name) })
	}
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, r *http.Request) { p.explain(a, w, r) })
	return mux
}

// events sends a picture now and whenever it changes (server-sent events).
func (p *painter) events(w http.ResponseWriter, r *http.Request) {
	pictures := make(chan []byte, 1)
	select {
	case p.joins <- pictures:
	case <-r.Context().Done():
		return
	}
	defer p.leave(r.Context(), pictures)
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	for {
		select {
		case <-r.Context().Done():
			return
		case picture := <-pictures:
			if _, err := fmt.Fprintf(w, "data: %s\n\n", picture); err != nil {
				return
			}
			if flush.Flush() != nil {
				return
			}
		}
	}
}

// leave tells the painter, if it still paints.
func (p *painter) leave(ctx context.Context, w chan<- []byte) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	select {
	case p.leaves <- w:
	case <-ctx.Done():
	}
}

// explain answers ?what=KIND/NAME or svc/NAMESPACE/NAME.
func (p *painter) explain(a *app, w http.ResponseWriter, r *http.Request) {
	about, err := a.subjectOf(r.URL.Query().Get("what"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	q := question{about, make(chan explain.Explanation, 1)}
	select {
	case p.questions <- q:
	case <-r.Context().Done():
		return
	}
	e := <-q.answer
	type told struct {
		explain.Explanation
		Broken *explain.Link  `json:"broken,omitempty"`
		Words  *explain.Words `json:"words,omitempty"`
	}
	t := told{Explanation: e, Broken: e.FirstBroken()}
	if t.Broken != nil {
		if words, ok := explain.WordsFor(t.Broken.Reason); ok {
			t.Words = &words
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t)
}
