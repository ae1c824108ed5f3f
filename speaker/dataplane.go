package speaker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/belfry-lb/belfry/internal/plan"
)

// DefaultProxyHealth is where kube-proxy serves /healthz unless told otherwise.
const DefaultProxyHealth = "127.0.0.1:10256"

const (
	proxyEvery   = time.Second // between two questions
	proxyTimeout = time.Second
	// proxyGrace is how long after the start of the speaker silence means that kube-proxy is still to come: after a reboot
	// both are started together, and kube-proxy needs the API server before it serves anything.
	proxyGrace = time.Minute
	// proxySettles is how long after the rules of one IP family those of the other may still be to come: each is written by a
	// part of its own. Nearly every kube-proxy serves both, whatever the cluster has.
	proxySettles = 10 * time.Second
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
//	200, but rules written for no family yet         unhealthy: it says 200 while it starts
//	200, after that, rules of one family only        unhealthy for ten seconds, unless those of the other come
//	503                                              unhealthy: its rules are late, or the node is about to go
//	no answer, or none of these                      waiting for a minute after the speaker's start, then unknown
//
// A health server that does not tell about its rules (kube-proxy before 1.33, replacements) is taken at its word.
type dataplane struct {
	url     string // empty: nobody is asked
	node    string
	client  *http.Client
	log     logr.Logger
	changed signal
	now     func() time.Time
	began   time.Time
	state   atomic.Pointer[plan.Dataplane]

	answered bool      // at least once
	refusals int       // in a row
	begins   bool      // it has told of no rules since it was last silent
	half     time.Time // when it began to tell of the rules of one family; zero if it has told of both since
}

func newDataplane(node, address string, log logr.Logger, changed signal) *dataplane {
	d := &dataplane{node: node, log: log, changed: changed, now: time.Now, began: time.Now(), begins: true, client: &http.Client{
		Timeout:   proxyTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil}, // a kept connection would survive the process that answers
	}}
	if address != "0" && address != "" {
		d.url = "http://" + address + "/healthz"
	}
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
	every := time.NewTicker(proxyEvery)
	defer every.Stop()
	for {
		d.take(d.ask(ctx))
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
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
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return d.silent()
	}
	answer, err := d.client.Do(r)
	if err != nil {
		d.begins = true
		return d.silent()
	}
	defer func() { _ = answer.Body.Close() }()
	switch {
	case answer.StatusCode == http.StatusServiceUnavailable:
		return d.refused()
	case answer.StatusCode != http.StatusOK:
		return d.silent()
	}
	d.answered, d.refusals = true, 0
	if !d.written(answer) {
		return plan.DataplaneUnhealthy
	}
	return plan.DataplaneHealthy
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
func (d *dataplane) written(answer *http.Response) bool {
	var says struct {
		Healthy *bool                      `json:"healthy"` // since 1.33, together with status
		Status  map[string]json.RawMessage `json:"status"`  // of the families that have rules
	}
	err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 1<<16)).Decode(&says)
	began := d.begins
	d.begins = err == nil && says.Healthy != nil && len(says.Status) == 0
	switch {
	case d.begins:
		return false
	case len(says.Status) != 1:
		d.half = time.Time{}
	case began:
		d.half = d.now()
	}
	return d.half.IsZero() || d.now().Sub(d.half) >= proxySettles
}
