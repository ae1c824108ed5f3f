package speaker

import (
	"testing"
	"time"

	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// glance is one look at n2, some time after the first.
type glance struct {
	at     time.Duration
	member *members.Member // nil: it is not there
	says   liveness.State  // of the probes
	recall bool            // others remember claims of it
}

func there(state members.State, joins uint64, facts ...string) *members.Member {
	m := &members.Member{Name: "n2", State: state, Joins: joins}
	for _, f := range facts {
		m.Facts, m.Current = []byte(f), true
	}
	return m
}

// TestPresence goes through the rows of its table, and from one to another.
func TestPresence(t *testing.T) {
	const s = time.Second
	ready, starting := there(members.Ready, 1, "{}"), there(members.Starting, 1, "{}")
	bare := there(members.Ready, 1)
	stale := there(members.Ready, 1, "{}")
	stale.Current = false
	again := there(members.Starting, 2, "{}")
	tests := []struct {
		name  string
		looks []glance
		want  standing // at the time of the last look
	}{
		{"never heard of", []glance{{0, nil, liveness.Unknown, false}}, standing{}},
		{"ready", []glance{{0, ready, liveness.Answering, false}}, standing{alive: true, ready: true}},
		{"ready, nobody probes it", []glance{{0, ready, liveness.Unknown, false}}, standing{alive: true, ready: true}},
		{"starting", []glance{{0, starting, liveness.Unknown, false}}, standing{alive: true, away: true}},
		{"starting, for as long as a window", []glance{{0, starting, liveness.Unknown, false}, {10 * s, starting, liveness.Unknown, false}},
			standing{alive: true}},
		{"starting, its facts are not here", []glance{{0, there(members.Starting, 1), liveness.Unknown, false}}, standing{away: true}},
		{"ready, its facts are not here", []glance{{0, bare, liveness.Unknown, false}}, standing{away: true}},
		{"ready, its facts have never come", []glance{{0, bare, liveness.Unknown, false}, {10 * s, bare, liveness.Unknown, false}}, standing{}},
		{"ready, newer facts are under way", []glance{{0, ready, liveness.Unknown, false}, {s, stale, liveness.Unknown, false}},
			standing{alive: true, ready: true}},
		{"ready, its node refuses probes", []glance{{0, ready, liveness.Answering, false}, {s, ready, liveness.Refused, false}}, standing{away: true}},
		{"and has refused them for a window", []glance{{0, ready, liveness.Refused, false}, {10 * s, ready, liveness.Refused, false}}, standing{}},
		{"and answers again", []glance{{0, ready, liveness.Refused, false}, {9 * s, ready, liveness.Answering, false}},
			standing{alive: true, ready: true}},
		{"restarting", []glance{{0, ready, liveness.Answering, false}, {s, there(members.Restarting, 1, "{}"), liveness.Answering, false}},
			standing{away: true}},
		{"restarting, and gone", []glance{{0, ready, liveness.Answering, false}, {s, there(members.Restarting, 1, "{}"), liveness.Answering, false},
			{2 * s, nil, liveness.Refused, false}}, standing{away: true}},
		{"restarting, and back as another process", []glance{{0, ready, liveness.Answering, false},
			{s, there(members.Restarting, 1, "{}"), liveness.Answering, false}, {3 * s, again, liveness.Answering, false}},
			standing{alive: true, away: true}},
		{"restarting, and its time is over", []glance{{0, there(members.Restarting, 1, "{}"), liveness.Answering, false}, {10 * s, nil, liveness.Refused, false}},
			standing{}},
		{"the window is not opened twice", []glance{{0, there(members.Restarting, 1, "{}"), liveness.Answering, false},
			{6 * s, again, liveness.Answering, false}, {11 * s, again, liveness.Answering, false}}, standing{alive: true}},
		{"gone, its node refuses probes", []glance{{0, ready, liveness.Answering, false}, {s, nil, liveness.Refused, false}}, standing{away: true}},
		{"gone, its speaker answers probes", []glance{{0, ready, liveness.Answering, false}, {s, nil, liveness.Answering, false}}, standing{away: true}},
		{"gone in the moment in which it is back", []glance{{0, ready, liveness.Refused, false}, {s, ready, liveness.Answering, false},
			{s, nil, liveness.Answering, false}, {s, again, liveness.Answering, false}}, standing{alive: true, away: true}},
		{"gone, its speaker has answered probes for a window", []glance{{0, nil, liveness.Unknown, false}, {s, ready, liveness.Answering, false},
			{2 * s, nil, liveness.Answering, false}, {12 * s, nil, liveness.Answering, false}}, standing{}},
		{"gone, and silent", []glance{{0, ready, liveness.Answering, false}, {s, nil, liveness.Silent, false}}, standing{}},
		{"gone, nobody probes it", []glance{{0, ready, liveness.Unknown, false}, {s, nil, liveness.Unknown, false}}, standing{}},
		{"draining", []glance{{0, ready, liveness.Answering, false}, {s, there(members.Draining, 1, "{}"), liveness.Answering, false}},
			standing{alive: true, draining: true}},
		{"draining, its node refuses probes", []glance{{0, there(members.Draining, 1, "{}"), liveness.Refused, false}}, standing{}},
		{"drained, and gone", []glance{{0, there(members.Draining, 1, "{}"), liveness.Answering, false}, {s, nil, liveness.Refused, false}}, standing{}},
		{"drained, gone, and its last answer is young", []glance{{0, there(members.Draining, 1, "{}"), liveness.Answering, false},
			{s, nil, liveness.Answering, false}}, standing{}},
		{"others remember it", []glance{{0, nil, liveness.Unknown, true}}, standing{away: true}},
		{"others have remembered it for a window", []glance{{0, nil, liveness.Unknown, true}, {10 * s, nil, liveness.Unknown, true}}, standing{}},
		{"others remember it, but it has been here", []glance{{0, there(members.Draining, 1, "{}"), liveness.Answering, false},
			{s, nil, liveness.Unknown, true}}, standing{}},
		{"back from behind a partition", []glance{{0, ready, liveness.Answering, false}, {s, nil, liveness.Silent, false},
			{5 * s, there(members.Ready, 2, "{}"), liveness.Answering, false}}, standing{alive: true, ready: true}},
		{"back from behind a partition, its facts are of before", []glance{{0, ready, liveness.Answering, false}, {s, nil, liveness.Silent, false},
			{5 * s, there(members.Ready, 2), liveness.Answering, false}}, standing{away: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, began := newPresence(10*s), time.Unix(1e9, 0)
			var last glance
			for _, last = range tt.looks {
				var roster []members.Member
				if last.member != nil {
					roster = append(roster, *last.member)
				}
				var mentioned []string
				if last.recall {
					mentioned = []string{"n2"}
				}
				p.look(began.Add(last.at), roster, map[string]liveness.State{"n2": last.says}, mentioned)
			}
			if got := p.standing("n2", began.Add(last.at), last.says); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestPresenceKnowsWhenToLookAgain: time alone ends a window.
func TestPresenceKnowsWhenToLookAgain(t *testing.T) {
	p, now := newPresence(10*time.Second), time.Unix(1e9, 0)
	look := func(after time.Duration, m *members.Member) {
		p.look(now.Add(after), []members.Member{*m}, nil, nil)
	}
	look(0, there(members.Ready, 1, "{}"))
	if at := p.next(now); !at.IsZero() {
		t.Errorf("nothing is due, and yet at %s", at)
	}
	look(time.Second, there(members.Restarting, 1, "{}"))
	look(2*time.Second, there(members.Restarting, 1, "{}"))
	if at := p.next(now.Add(2 * time.Second)); !at.Equal(now.Add(11 * time.Second)) {
		t.Errorf("due at %s, want 11 s after %s", at, now)
	}
	if at := p.next(now.Add(11 * time.Second)); !at.IsZero() {
		t.Errorf("the window is over, and yet something is due at %s", at)
	}
	p.keep(map[string]bool{})
	if at := p.next(now.Add(2 * time.Second)); !at.IsZero() || len(p.traces) > 0 {
		t.Error("a node that is not in the cluster any more is remembered")
	}
}

// TestHeals: only members that come back ready were cut off; after a restart they would be starting.
func TestHeals(t *testing.T) {
	p := newPresence(10 * time.Second)
	for _, tt := range []struct {
		member *members.Member
		want   uint64
	}{
		{there(members.Ready, 1, "{}"), 0},
		{there(members.Ready, 1, "{}"), 0},
		{nil, 0},
		{there(members.Ready, 2, "{}"), 1},
		{there(members.Ready, 3, "{}"), 2}, // it went and came between two looks
		{there(members.Starting, 4, "{}"), 2},
		{there(members.Ready, 4, "{}"), 2},
	} {
		var roster []members.Member
		if tt.member != nil {
			roster = append(roster, *tt.member)
		}
		p.look(time.Unix(1e9, 0), roster, nil, nil)
		if p.heals != tt.want {
			t.Errorf("after %+v: %d heals, want %d", tt.member, p.heals, tt.want)
		}
	}
}
