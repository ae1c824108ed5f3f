package members

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync/atomic"

	"github.com/hashicorp/memberlist"
)

const (
	senders   = 4    // answers to kindAsk that leave at a time
	inboxSize = 1024 // messages of a packet's size that wait for the engine
	bulkSize  = 16   // large ones that do
)

// delegate is what memberlist calls for data. It hands over and returns; what
// does not fit is dropped and counted, for the engine asks for what it lacks.
type delegate struct {
	meta  atomic.Pointer[[]byte]
	queue memberlist.TransmitLimitedQueue
	inbox chan []byte
	bulk  chan []byte
	asked chan string // names of members that are to have this one's facts at once
	view  func() *view
	drop  func(reason string)
}

var _ memberlist.Delegate = (*delegate)(nil)

func newDelegate(g *Group) *delegate {
	return &delegate{
		queue: memberlist.TransmitLimitedQueue{
			NumNodes:       func() int { return len(g.registrar.load()) },
			RetransmitMult: memberlist.DefaultLANConfig().RetransmitMult,
		},
		inbox: make(chan []byte, inboxSize),
		bulk:  make(chan []byte, bulkSize),
		asked: make(chan string, bulkSize),
		view:  g.seen.Load,
		drop:  g.metrics.drop,
	}
}

func (d *delegate) setMeta(raw []byte) { d.meta.Store(&raw) }

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte { return *d.meta.Load() }

// NotifyMsg implements memberlist.Delegate. The buffer is memberlist's.
func (d *delegate) NotifyMsg(b []byte) {
	if len(b) == 0 || len(b) > MaxFacts+1024 {
		d.drop(droppedMalformed)
		return
	}
	if b[0] == kindWhole {
		d.hand(d.bulk, b)
		return
	}
	d.hand(d.inbox, b)
}

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	if len(b) == 0 || len(b) > maxState+MaxFacts {
		d.drop(droppedMalformed)
		return
	}
	d.hand(d.bulk, b)
}

func (d *delegate) hand(to chan<- []byte, b []byte) {
	select {
	case to <- bytes.Clone(b):
	default:
		d.drop(droppedOverflow)
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// LocalState implements memberlist.Delegate: the facts of all members. Where
// they are more than fit, chance decides, so that in time all get through.
func (d *delegate) LocalState(bool) []byte {
	v := d.view()
	wholes := make([]piece, 0, len(v.entries))
	for _, e := range v.entries {
		if e.stamp.sequence > 0 {
			wholes = append(wholes, whole(e.Name, e.stamp, e.Facts))
		}
	}
	rand.Shuffle(len(wholes), func(i, j int) { wholes[i], wholes[j] = wholes[j], wholes[i] })
	return encodeState(wholes)
}

// broadcast spreads a piece. A newer one in the same place replaces it.
func (d *delegate) broadcast(p piece) {
	d.queue.QueueBroadcast(&broadcast{name: p.owner + "/" + string(rune('a'+p.index)), raw: p.encode(kindPiece)})
}

// answer has this member's facts sent to one that asked, or that is to know first.
func (d *delegate) answer(name string) {
	select {
	case d.asked <- name:
	default:
		d.drop(droppedOverflow)
	}
}

// serve sends this member's facts to those who are to have them, at the address that membership knows them by.
func (d *delegate) serve(ctx context.Context, g *Group, list *memberlist.Memberlist) {
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-d.asked:
			if err := d.send(name, g, list); err != nil {
				g.opts.Log.V(1).Info("sending facts failed", "node", name, "reason", err.Error())
			}
		}
	}
}

func (d *delegate) send(name string, g *Group, list *memberlist.Memberlist) error {
	to, ok := g.registrar.load()[name]
	mine := g.mine.Load()
	if !ok || name == g.opts.Name || mine.stamp.sequence == 0 {
		return nil
	}
	target := &memberlist.Node{Name: name, Addr: to.addr.Addr().AsSlice(), Port: to.addr.Port()}
	return list.SendReliable(target, whole(g.opts.Name, mine.stamp, mine.facts).encode(kindWhole))
}

// broadcast implements memberlist.NamedBroadcast.
type broadcast struct {
	name string
	raw  []byte
}

var _ memberlist.NamedBroadcast = (*broadcast)(nil)

// Name implements memberlist.NamedBroadcast.
func (b *broadcast) Name() string { return b.name }

// Invalidates implements memberlist.Broadcast.
func (b *broadcast) Invalidates(o memberlist.Broadcast) bool {
	other, ok := o.(*broadcast)
	return ok && other.name == b.name
}

// Message implements memberlist.Broadcast.
func (b *broadcast) Message() []byte { return b.raw }

// Finished implements memberlist.Broadcast.
func (b *broadcast) Finished() {}
