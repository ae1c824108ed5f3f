package explain

import (
	"strings"

	"github.com/belfry-lb/belfry/internal/spec"
)

// State says how it stands with a link of the chain.
type State string

// The states, from good to bad. What a Note says hinders nothing.
const (
	OK     State = "ok"
	Note   State = "note"
	Broken State = "broken"
)

// Link is one link of the chain from a Service to the network.
type Link struct {
	Name   string      `json:"name"`
	State  State       `json:"state"`
	Reason spec.Reason `json:"reason,omitempty"`
	Text   string      `json:"text"`
	Do     string      `json:"do,omitempty"` // what to do about it
	Rows   []Row       `json:"rows,omitempty"`
}

// Row is one of several alike things that a link looks at: a pool, a node.
type Row struct {
	Name   string      `json:"name"`
	State  State       `json:"state"`
	Reason spec.Reason `json:"reason,omitempty"`
	Text   string      `json:"text"`
}

// Explanation is the whole chain in order.
type Explanation struct {
	Subject string `json:"subject"`
	Summary string `json:"summary"`
	Links   []Link `json:"links"`

	name string // takes the place of NAME in what to do
}

// FirstBroken returns the link on which all that follows hangs; nil when the chain holds.
func (e *Explanation) FirstBroken() *Link {
	for i := range e.Links {
		if e.Links[i].State == Broken {
			return &e.Links[i]
		}
	}
	return nil
}

// Healthy tells whether the chain holds.
func (e *Explanation) Healthy() bool { return e.FirstBroken() == nil }

func (e *Explanation) add(l Link) {
	if l.State != OK && l.Do == "" {
		l.Do = do(l.Reason)
	}
	if e.name != "" {
		l.Do = strings.ReplaceAll(l.Do, "NAME", e.name)
	}
	e.Links = append(e.Links, l)
}

func (e *Explanation) ok(name, text string, rows ...Row) {
	e.add(Link{Name: name, State: OK, Text: text, Rows: rows})
}

func (e *Explanation) note(name string, reason spec.Reason, text string) {
	e.add(Link{Name: name, State: Note, Reason: reason, Text: text})
}

func (e *Explanation) broken(name string, reason spec.Reason, text string, rows ...Row) {
	e.add(Link{Name: name, State: Broken, Reason: reason, Text: text, Rows: rows})
}

// conclude writes the summary: the first broken link, else what holds.
func (e *Explanation) conclude(good string) Explanation {
	e.Summary = good
	if b := e.FirstBroken(); b != nil {
		e.Summary = b.Text
	}
	return *e
}

func notFound(subject, what string) Explanation {
	e := Explanation{Subject: subject}
	e.broken("object", ReasonNotFound, "there is no "+what)
	return e.conclude("")
}
