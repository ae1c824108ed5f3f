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
	proxyEvery   = time.Second            // between two questions
	proxyRising  = 100 * time.Millisecond // the same while kube-proxy, or its rules, are still to come
	proxyTimeout = time.Second
	// proxyGrace is how long after the start of the speaker silence means that kube-proxy is still to come: after a reboot
	// both are started together, and kube-proxy needs the API server before it serves anything.
	proxyGrace = time.Minute
	// proxySettles is how long the rules may still be to come once kube-proxy tells of them. It does so for each IP family
	// when the part that writes its rules begins, and again each time that it has written some: a time that moves says that
	// there are rules, and so does one that is old.
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
//	200, but tells of no family's rules yet          unhealthy: it says 200 while it starts
//	200, rules of a family may be still to come      waiting, for ten seconds at most
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

	answered bool // at least once
	refusals int  // in a row
	rising   rising
}

// rising is what is known of a kube-proxy since it came up, or since it was first asked.
type rising struct {
	since time.Time            // when it first told of rules; zero before
	first map[string]time.Time // what it said then, for each family
	done  bool                 // its rules are written
}

func newDataplane(node, address string, log logr.Logger, changed signal) *dataplane {
	d := &dataplane{node: node, log: log, changed: changed, now: time.Now, began: time.Now(), client: &http.Client{
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
	if d.State() == plan.DataplaneWaiting || d.answered && d.refusals == 0 && !d.rising.done {
		return proxyRising
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
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return d.silent()
	}
	answer, err := d.client.Do(r)
	if err != nil {
		d.rising = rising{}
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
	return d.written(answer)
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
func (d *dataplane) written(answer *http.Response) plan.Dataplane {
	var says proxyHealth
	err := json.NewDecoder(http.MaxBytesReader(nil, answer.Body, 1<<16)).Decode(&says)
	told := err == nil && says.Healthy != nil
	if told && len(says.Status) == 0 {
		d.rising = rising{}
		return plan.DataplaneUnhealthy
	}
	if d.rising.done = d.rising.done || !told || d.rising.over(says, d.now()); !d.rising.done {
		return plan.DataplaneWaiting
	}
	return plan.DataplaneHealthy
}

// proxyHealth is what kube-proxy says on its page since 1.33. Before, there were no healthy and status.
type proxyHealth struct {
	Healthy     *bool     `json:"healthy"`
	CurrentTime time.Time `json:"currentTime"`
	Status      map[string]struct {
		LastUpdated time.Time `json:"lastUpdated"`
	} `json:"status"`
}

// over takes what kube-proxy says at a time and tells whether its rules are written: those of both families, for nearly
// every kube-proxy serves both, whatever the cluster has.
func (r *rising) over(says proxyHealth, now time.Time) bool {
	if r.since.IsZero() {
		r.since, r.first = now, map[string]time.Time{}
	}
	written := 0
	for family, is := range says.Status {
		first, seen := r.first[family]
		if !seen {
			r.first[family], first = is.LastUpdated, is.LastUpdated
		}
		if is.LastUpdated.After(first) || says.CurrentTime.Sub(is.LastUpdated) >= proxySettles {
			written++
		}
	}
	return written >= 2 || now.Sub(r.since) >= proxySettles
}
