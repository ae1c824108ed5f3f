package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/belfry-lb/belfry/e2e/harness"
)

// quiet is how long nothing may be written until what was done counts as over. It is longer than the pauses that speakers make
// between two writes, and than a failed write waits to be tried again.
const quiet = 4 * time.Second

// write is a line of the API server's audit log.
type write struct {
	Verb string
	User struct{ Username string }

	ObjectRef      struct{ Resource, Subresource, Name string }
	ResponseStatus struct{ Code int }
}

// what names the kind of write: "patch services/status".
func (w write) what() string {
	return strings.TrimSuffix(w.Verb+" "+w.ObjectRef.Resource+"/"+w.ObjectRef.Subresource, "/")
}

// ledger counts what the product writes. Left out are its Leases, by which the controllers know of each other and which are
// renewed for as long as one runs, and Events, which tell people of what happened and are counted by themselves.
type ledger struct{ from int64 }

// open begins to count now.
func open() (*ledger, error) {
	info, err := os.Stat(stage.Lab.AuditLog())
	if err != nil {
		return nil, err
	}
	return &ledger{info.Size()}, nil
}

// written returns how often each kind of write was made since, refused ones too.
func (l *ledger) written() (writes, events map[string]int, err error) {
	writes, events = map[string]int{}, map[string]int{}
	data, err := os.ReadFile(stage.Lab.AuditLog())
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) < l.from {
		return nil, nil, fmt.Errorf("the audit log has begun anew: %d bytes, %d before", len(data), l.from)
	}
	for line := range strings.Lines(string(data[l.from:])) {
		var w write
		if json.Unmarshal([]byte(line), &w) != nil { // the last may be half there
			continue
		}
		if !strings.HasPrefix(w.User.Username, "system:serviceaccount:"+harness.Namespace+":") {
			continue
		}
		switch w.ObjectRef.Resource {
		case "leases", "tokenreviews", "subjectaccessreviews":
		case "events":
			events[w.what()]++
		default:
			writes[w.what()]++
		}
	}
	return writes, events, nil
}

// settled waits until nothing has been written for a while, and returns what was.
func (l *ledger) settled(ctx context.Context) (writes, events map[string]int, err error) {
	since := time.Now()
	err = harness.Eventually(ctx, "quiet", func(context.Context) error {
		w, e, err := l.written()
		if err != nil {
			return err
		}
		if writes == nil || sum(w)+sum(e) != sum(writes)+sum(events) {
			writes, events, since = w, e, time.Now()
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("written so far: %s", listed(writes))
		}
		return nil
	})
	return writes, events, err
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// listed is for people: "3: 1 patch services, 2 patch services/status".
func listed(m map[string]int) string {
	words := []string{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		words = append(words, fmt.Sprintf("%d %s", m[k], k))
	}
	return fmt.Sprintf("%d: %s", sum(m), strings.Join(words, ", "))
}
