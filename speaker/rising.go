package speaker

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// proxySettles is how long the rules of a kube-proxy that does not tell its metrics may be still to come.
const proxySettles = 10 * time.Second

// proxyHealth is what kube-proxy says on its page since 1.33. Before, there were no healthy and status.
type proxyHealth struct {
	Healthy     *bool     `json:"healthy"`
	CurrentTime time.Time `json:"currentTime"`
	Status      map[string]struct {
		LastUpdated time.Time `json:"lastUpdated"`
	} `json:"status"` // by IP family
}

// parseProxyHealth returns false for a page that does not tell about rules.
func parseProxyHealth(text []byte) (says proxyHealth, told bool) {
	err := json.Unmarshal(text, &says)
	return says, err == nil && says.Healthy != nil
}

// rising is what is known about the rules of a kube-proxy that has come up, or that is asked for the first time. For each IP
// family it tells a time when the part that writes the rules begins, which says nothing yet, and again whenever that has
// written some. So there are rules of a family when its time has moved, or when kube-proxy's metrics say so. Where neither
// does, its time is old or ten seconds have passed, the rules are taken for written.
type rising struct {
	since time.Time            // when it first told; zero before
	first map[string]time.Time // what it told then, for each family
	last  proxyHealth          // what it told last
	now   time.Time            // when it did
	lost  bool                 // it has not answered since
	tells bool                 // its metrics have been read
	done  bool                 // its rules are written
}

// hear takes what kube-proxy tells. One that was silent is the same as before if a time has stayed.
func (r *rising) hear(says proxyHealth, now time.Time) {
	if r.lost && !r.same(says) {
		*r = rising{}
	}
	if r.since.IsZero() {
		r.since, r.first = now, map[string]time.Time{}
	}
	for family, is := range says.Status {
		if _, seen := r.first[family]; !seen {
			r.first[family] = is.LastUpdated
		}
	}
	r.lost, r.last, r.now = false, says, now
	r.done = r.done || len(r.open()) == 0
}

func (r *rising) same(says proxyHealth) bool {
	for family, was := range r.last.Status {
		if is, told := says.Status[family]; told && is.LastUpdated.Equal(was.LastUpdated) {
			return true
		}
	}
	return false
}

// other stands for a family of which nothing is told. Nearly every kube-proxy serves both, whatever the cluster has.
const other = ""

// open returns the families whose times have not moved. Both begin at once, so where one is alone for long there is no other.
func (r *rising) open() (families []string) {
	for family, is := range r.last.Status {
		if is.LastUpdated.Equal(r.first[family]) {
			families = append(families, family)
		}
		if len(r.last.Status) == 1 && r.young(family) && !r.settled() {
			families = append(families, other)
		}
	}
	return families
}

func (r *rising) young(family string) bool {
	return r.last.CurrentTime.Sub(r.last.Status[family].LastUpdated) < proxySettles
}

func (r *rising) settled() bool { return r.now.Sub(r.since) >= proxySettles }

// count takes kube-proxy's metrics, if there are any. Once they were there they alone count, for as long as it takes.
func (r *rising) count(metrics []byte) {
	begun, written := partsOf(metrics)
	switch {
	case len(begun) > 0:
		for family := range r.last.Status {
			begun[family] = true
		}
		r.tells, r.done = true, len(written) == len(begun)
	case !r.tells:
		r.done = r.settled() || !slices.ContainsFunc(r.open(), func(f string) bool { return f == other || r.young(f) })
	}
}

// partsOf returns the IP families of which kube-proxy has begun to write the rules, and of which it has written them. Of metrics
// that are not kube-proxy's there are none.
func partsOf(metrics []byte) (begun, written map[string]bool) {
	begun, written = map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(string(metrics)) {
		series, ours := strings.CutPrefix(line, "kubeproxy_sync_proxy_rules_last_")
		name, labels, _ := strings.Cut(series, `{ip_family="`)
		family, _, labelled := strings.Cut(labels, `"`)
		if !ours || !labelled {
			continue
		}
		switch name {
		case "queued_timestamp_seconds":
			begun[family] = true
		case "timestamp_seconds":
			begun[family], written[family] = true, true
		}
	}
	return begun, written
}
