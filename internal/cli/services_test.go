package cli

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/explain"
)

// A Service that routers are told of is announced, though no node answers for it.
func TestServicesNameBGP(t *testing.T) {
	for _, c := range []struct {
		status  metav1.ConditionStatus
		message string
		want    string
	}{
		{metav1.ConditionTrue, "BGP", "BGP"},
		{metav1.ConditionTrue, "192.0.2.1 by node n1, 2001:db8::1 BGP", "BGP"},
		{metav1.ConditionTrue, "by node n1", ""},
		{metav1.ConditionFalse, "BGP", ""},
	} {
		o := &corev1.Service{}
		o.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAnnounced, Status: c.status, Message: c.message}}
		rows := serviceRows(explain.Facts{Services: []explain.Service{{Object: o, Ours: true}}}, "")
		if got := strings.Join(rows[0].announcers(), ","); len(rows) != 1 || got != c.want {
			t.Errorf("%s %q: announced by %q, want %q", c.status, c.message, got, c.want)
		}
	}
}

// Where a speaker has too many addresses to name them all, the controller's word tells who announces a Service.
func TestServicesNameWhoIsLeftOut(t *testing.T) {
	for _, c := range []struct {
		left    int32
		status  metav1.ConditionStatus
		message string
		want    string
	}{
		{0, metav1.ConditionTrue, "by node n1", ""},
		{1, metav1.ConditionTrue, "by node n1", "n1"},
		{1, metav1.ConditionTrue, "192.0.2.1 by node n2, 2001:db8::1 by node n1, 203.0.113.1 BGP", "n1,n2,BGP"},
		{1, metav1.ConditionTrue, "BGP", "BGP"},
		{1, metav1.ConditionFalse, "by node n1", ""},
	} {
		o := &corev1.Service{}
		o.Status.Conditions = []metav1.Condition{{Type: v1beta1.ConditionAnnounced, Status: c.status, Message: c.message}}
		rows := serviceRows(explain.Facts{Services: []explain.Service{{Object: o, Ours: true}}, Nodes: []explain.Node{shortenedNode(v1beta1.SpeakerOmitted{L2Addresses: c.left})}}, "")
		if got := strings.Join(rows[0].announcers(), ","); got != c.want {
			t.Errorf("%d left out, %s %q: announced by %q, want %q", c.left, c.status, c.message, got, c.want)
		}
	}
}

// shortenedNode has a speaker whose status leaves something out.
func shortenedNode(left v1beta1.SpeakerOmitted) explain.Node {
	s := &v1beta1.SpeakerStatus{Status: v1beta1.SpeakerStatusStatus{
		State: explain.StateReady, Omitted: left,
		Members: v1beta1.SpeakerMembers{Alive: 2, Missing: []string{"n2"}},
		L2:      v1beta1.SpeakerL2{Count: 9, Addresses: []string{"192.0.2.10"}},
		BGP:     v1beta1.SpeakerBGP{Peers: []v1beta1.SpeakerPeer{{Name: "tor", State: v1beta1.SessionIdle}}},
	}}
	o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	o.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return explain.Node{Object: o, Status: s}
}

// What is left out of a speaker's status is told where its lists are shown.
func TestTablesTellWhatIsLeftOut(t *testing.T) {
	n := shortenedNode(v1beta1.SpeakerOmitted{L2Addresses: 8, MembersMissing: 3, BGPPeers: 5})
	f := explain.Facts{Nodes: []explain.Node{n}}
	for name, c := range map[string]struct {
		cmd  func(explain.Facts) *table
		want []string
	}{
		"speakers": {speakerTable, []string{"n1 ready 2 (4 missing) 9", "n2 and 3 more", "192.0.2.10 and 8 more"}},
		"peers":    {peerTable, []string{"(5 more) n1"}},
		"bfd":      {bfdTable, []string{"(5 more) n1"}},
	} {
		var out strings.Builder
		if err := c.cmd(f).writeTo(&out, style{}, true); err != nil {
			t.Fatal(err)
		}
		shown := strings.Join(strings.Fields(out.String()), " ")
		for _, want := range c.want {
			if !strings.Contains(shown, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out.String())
			}
		}
	}
	wrongs := fmt.Sprint(new(app).statusOf(f).Wrong)
	for _, want := range []string{"does not see n2, and 3 more", "too many BGP sessions to tell of all: 5 are left out"} {
		if !strings.Contains(wrongs, want) {
			t.Errorf("status: %q is not in %s", want, wrongs)
		}
	}
	if got := strings.Join(announcements(n.Status), "; "); got != "192.0.2.10; addresses in 8 more ranges; perhaps routes to 5 more peers" {
		t.Errorf("drain: %s", got)
	}
}
