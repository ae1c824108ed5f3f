package speaker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/plan"
)

// DefaultProxyHealth is where kube-proxy serves /healthz unless told otherwise.
const DefaultProxyHealth = "127.0.0.1:10256"

// proxyMetricsPort is where kube-proxy serves its metrics unless told otherwise, on the host where it serves /healthz.
const proxyMetricsPort = "10249"

const (
	proxyEvery   = time.Second            // between two questions
	proxyHurry   = 100 * time.Millisecond // the same while kube-proxy, or its rules, may come any moment
	proxyTimeout = time.Second
	// proxyGrace is how long after the start of the speaker silence means that kube-proxy is still to come: after a reboot
	// both are started together, and kube-proxy needs the API server before it serves anything. So long it is asked in a
	// hurry, too; and so is one that comes back so soon.
	proxyGrace = time.Minute
	// proxyPatience is how often in a row kube-proxy must say that it is unhealthy: a node that acquires nothing is no loss
	// for a second, one that is passed over for a hiccup is.
	proxyPatience = 2
)

// dataplane asks kube-proxy, or what replaces it, how it is. Of its two pages /healthz is the one that load balancers are
// to ask: it also says no on a node that is being deleted or that the cluster autoscaler has marked for it (KEP-3836);
// /livez does not.
//
//	kube-proxy                                       it is
//	200, rules written                               healthy
//	200, but tells of no family's rules yet          unhealthy: it says 200 while it starts
//	200, rules of a family still to come             waiting; see rising
//	503                                              unhealthy: its rules are late, or the node is about to go
//	no answer, or none of these                      waiting for a minute after the speaker's start, then unknown
//
// A health server that does not tell about its rules (kube-proxy before 1.33, replacements) is taken at its word.
type dataplane struct {
	url     string // of /healthz; empty: nobody is asked
	metrics string // URL; empty: there are none
	node    string
	client  *http.Client
	log     logr.Logger
	changed signal
	now     func() time.Time
	began   time.Time
	state   atomic.Pointer[plan.Dataplane]

	answered bool      // at least once
	refusals int       // in a row
	hurry    time.Time // until then
	rising   rising
}

func newDataplane(node, address string, log logr.Logger, changed signal) *dataplane {
	d := &dataplane{node: node, log: log, changed: changed, now: time.Now, began: time.Now(), client: &http.Client{
		Timeout:   proxyTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}, // a kept connection would survive the process that answers
	}}
	if address != "0" && address != "" {
		d.url = "http://" + address + "/healthz"
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		d.metrics = "http://" + net.JoinHostPort(host, proxyMetricsPort) + "/metrics"
	}
	d.hurry = d.began.Add(proxyGrace)
	first := d.silent()
	d.state.Store(&first)
	return d
}

// State returns what was last heard.
func (d *dataplane) State() plan.Dataplane { return *d.state.Load() }

// run asks until ctx ends.
func (d *dataplane) run(ctx context.Context) {
	if d.url == "" {
		return
	}
	for {
		d.take(d.ask(ctx))
		select {
		case <-ctx.Done():
			return
		case <-time.After(d.pause()):
		}
	}
}

func (d *dataplane) pause() time.Duration {
	if !d.rising.done && d.now().Before(d.hurry) {
		return proxyHurry
	}
	return proxyEvery
}

// take wakes the passes when the state has changed.
func (d *dataplane) take(is plan.Dataplane) {
	was := d.State()
	if is == was {
		return
	}
	d.log.Info("Dataplane changed", "node", d.node, "reason", fmt.Sprintf("kube-proxy was %s and is %s", was, is))
	d.state.Store(&is)
	d.changed.raise()
}

func (d *dataplane) ask(ctx context.Context) plan.Dataplane {
	status, text, err := d.get(ctx, d.url, 1<<16)
	switch {
	case err != nil:
		d.lose()
		return d.silent()
	case status == http.StatusServiceUnavailable:
		return d.refused()
	case status != http.StatusOK:
		return d.silent()
	}
	d.answered, d.refusals = true, 0
	return d.written(ctx, text)
}

// get reads a page of at most so many bytes.
func (d *dataplane) get(ctx context.Context, url string, most int64) (status int, text []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	answer, err := d.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err = io.ReadAll(http.MaxBytesReader(nil, answer.Body, most))
	return answer.StatusCode, text, err
}

// lose notes that kube-proxy does not answer.
func (d *dataplane) lose() {
	if d.rising.done && !d.rising.lost {
		d.hurry = d.now().Add(proxyGrace)
	}
	d.refusals, d.rising.lost = 0, true
}

// refused wants to hear it twice from a kube-proxy that was well.
func (d *dataplane) refused() plan.Dataplane {
	d.answered = true
	if d.refusals++; d.refusals < proxyPatience && d.State() == plan.DataplaneHealthy {
		return plan.DataplaneHealthy
	}
	return plan.DataplaneUnhealthy
}

func (d *dataplane) silent() plan.Dataplane {
	if d.url != "" && !d.answered && d.now().Sub(d.began) < proxyGrace {
		return plan.DataplaneWaiting
	}
	return plan.DataplaneUnknown
}

// written tells whether a kube-proxy that says it is healthy has written its rules, as far as it tells.
func (d *dataplane) written(ctx context.Context, text []byte) plan.Dataplane {
	says, told := parseProxyHealth(text)
	switch {
	case !told:
		d.rising = rising{done: true}
	case len(says.Status) == 0:
		d.rising = rising{}
		return plan.DataplaneUnhealthy
	default:
		d.rising.hear(says, d.now())
	}
	if !d.rising.done {
		d.rising.count(d.counted(ctx))
	}
	if !d.rising.done {
		return plan.DataplaneWaiting
	}
	return plan.DataplaneHealthy
}

// counted returns what kube-proxy counts, nil where it does not tell.
func (d *dataplane) counted(ctx context.Context) []byte {
	if d.metrics == "" {
		return nil
	}
	status, text, err := d.get(ctx, d.metrics, 1<<22)
	if err != nil || status != http.StatusOK {
		return nil
	}
	return text
}
