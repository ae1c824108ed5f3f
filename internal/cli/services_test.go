package cli

import (
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
