package integration

import (
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// refuseStatus has the API server refuse every write of the status of Services with the label, until the returned function
// is called.
func refuseStatus(t *testing.T, label string, probe *corev1.Service) (allow func()) {
	t.Helper()
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "refuse-status"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services/status"}},
				},
			}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "labelled", Expression: fmt.Sprintf("has(object.metadata.labels) && %q in object.metadata.labels", label)}},
			Validations:     []admissionv1.Validation{{Expression: "false", Message: "nobody writes this status"}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "refuse-status"},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: policy.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}
	create(t, policy, binding)
	allow = func() {
		must(t, client.IgnoreNotFound(shared.client.Delete(t.Context(), binding)))
		must(t, client.IgnoreNotFound(shared.client.Delete(t.Context(), policy)))
	}
	t.Cleanup(func() {
		_ = shared.client.Delete(t.Context(), binding)
		_ = shared.client.Delete(t.Context(), policy)
	})
	eventually(t, "the API server refuses", func() error {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"status":{"conditions":[]}}`))
		if err := shared.client.Status().Patch(t.Context(), probe.DeepCopy(), patch, client.DryRunAll); !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) {
			return fmt.Errorf("it answers %q", fmt.Sprint(err))
		}
		return nil
	})
	return allow
}

// TestRefusedStatus: a Service whose status nobody may write says so, once, hurts no other, and has its address when the
// obstacle goes.
func TestRefusedStatus(t *testing.T) {
	clean(t)
	refused := newService("refused", func(s *corev1.Service) { s.Labels = map[string]string{"refused": ""} })
	create(t, refused)
	allow := refuseStatus(t, "refused", refused)
	create(t, newPool("a", "192.0.2.180/30"))
	c := start(t, often)
	hasEvent(t, refused, "AssignmentFailed", "nobody writes this status")
	other := newService("other")
	create(t, other)
	hasAddresses(t, other, "192.0.2.181")
	if got := c.metric("belfry_stuck_writes_total", "kind=Service"); got != 1 {
		t.Errorf("%v Services are stuck, want 1", got)
	}
	c.fullPasses(5)
	if got := c.metric("belfry_api_writes_total", "kind=Service", "result=refused"); got < 8 {
		t.Errorf("%v writes were refused", got)
	}
	allow()
	hasAddresses(t, refused, "192.0.2.180")
	if told := told(t, refused, "AssignmentFailed"); told != 1 {
		t.Errorf("told %d times", told)
	}
}
