package integration

import (
	"context"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

func rule(group, resources, verbs string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: strings.Fields(resources), Verbs: strings.Fields(verbs)}
}

// TestRights runs the controller with the rights that the package comment of controllers lists, and no others.
func TestRights(t *testing.T) {
	clean(t)
	meta := metav1.ObjectMeta{Name: "belfry-rights"}
	own := metav1.ObjectMeta{Name: "belfry-rights", Namespace: "default"}
	user := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "belfry-rights"}}
	roles := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			rule("", "services", "get list watch"),
			rule("", "services/status", "patch"),
			rule("", "namespaces nodes", "get list watch"),
			rule("networking.k8s.io", "servicecidrs", "get list watch"),
			rule(v1beta1.Group, "ipaddresspools ipreservations l2advertisements bgppeers bgpadvertisements communities bfdprofiles", "get list watch"),
			rule(v1beta1.Group, "ipaddresspools/status ipreservations/status l2advertisements/status bgppeers/status bgpadvertisements/status communities/status bfdprofiles/status", "patch"),
			rule(v1beta1.Group, "speakerstatuses", "get list watch"),
			rule("discovery.k8s.io", "endpointslices", "get list watch"),
			rule("events.k8s.io", "events", "create"),
		}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: user, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name}},
		&rbacv1.Role{ObjectMeta: own, Rules: []rbacv1.PolicyRule{
			rule("", "secrets", "create"),
			rule("", "pods", "get list watch"),
			rule("coordination.k8s.io", "leases", "get create update"),
		}},
		&rbacv1.RoleBinding{ObjectMeta: own, Subjects: user, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name}},
	}
	create(t, roles...)
	t.Cleanup(func() {
		for _, o := range roles {
			must(t, shared.client.Delete(context.Background(), o))
		}
	})
	pool, bad := newPool("a", "192.0.2.192/30"), newPool("bad", "192.0.2.199-192.0.2.198")
	all := &v1beta1.L2Advertisement{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	create(t, pool, bad, all)
	c := startAs(t, func(cfg *rest.Config) {
		cfg.Impersonate = rest.ImpersonationConfig{UserName: "belfry-rights", Groups: []string{"system:authenticated"}}
	}, withFinalizer, soonTold)
	s := newService("with-few-rights")
	create(t, s)
	hasAddresses(t, s, "192.0.2.192")
	hasEvent(t, s, "AddressAssigned", "192.0.2.192")
	reserved := newReservation("with-few-rights", v1beta1.IPReservationSpec{})
	create(t, reserved)
	reserves(t, reserved, "", "192.0.2.193")
	announcedIs(t, s, metav1.ConditionFalse, "NoEndpoints", "")
	must(t, shared.client.Delete(t.Context(), s))
	isGone(t, s)
	ready(t, pool, metav1.ConditionTrue, "Valid")
	ready(t, all, metav1.ConditionTrue, "Valid")
	hasEvent(t, bad, "BadRange", "before it begins")
	if got := c.metric("belfry_api_writes_total", "result=refused"); got != 0 {
		t.Errorf("%v writes were refused", got)
	}
}
