package controllers

import (
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Events wait until no address waits to be written, and then come out a few at a time: each is a write that would stand in
// the way of an address, and what records them drops what comes by the thousand.
const (
	tellEvery    = 50 * time.Millisecond
	tellAtOnce   = 10
	tellInTheEnd = 100
)

// news is events that have yet to be told, the oldest first.
type news struct {
	tell  func(client.Object, notice) bool // false: not now
	queue []item
	next  time.Time // the next few are told then, however much else happens meanwhile
}

type item struct {
	about client.Object
	notice
}

func (n *news) add(about client.Object, list ...notice) {
	if len(n.queue) == 0 {
		n.next = time.Now().Add(tellEvery)
	}
	for _, x := range list {
		n.queue = append(n.queue, item{about, x})
	}
}

// some tells the next few.
func (n *news) some() {
	count := 0
	for count < min(len(n.queue), tellAtOnce) && n.tell(n.queue[count].about, n.queue[count].notice) {
		count++
	}
	clear(n.queue[:count]) // so that they are not held any more
	n.queue, n.next = n.queue[count:], time.Now().Add(tellEvery)
	if len(n.queue) == 0 {
		n.queue = nil
	}
}

// rest tells what is left, of a long queue the first part only: nobody waits for the end of a leader because of events.
func (n *news) rest() {
	for range tellInTheEnd / tellAtOnce {
		n.some()
	}
	n.queue = nil
}

// due rings when it is time to tell some; busy: there is more important work.
func (n *news) due(busy bool) <-chan time.Time {
	if busy || len(n.queue) == 0 {
		return nil
	}
	return time.After(time.Until(n.next))
}
