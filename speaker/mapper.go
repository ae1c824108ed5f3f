package speaker

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// NewMapper knows the kinds that a speaker reads and writes by heart. The usual mapper asks the API server, and without an
// answer no cache can even be built.
func NewMapper(scheme *runtime.Scheme) (meta.RESTMapper, error) {
	m := meta.NewDefaultRESTMapper(nil)
	for _, o := range cached() {
		gvk, err := apiutil.GVKForObject(o, scheme)
		if err != nil {
			return nil, err
		}
		m.Add(gvk, scopeOf(o))
		m.Add(gvk.GroupVersion().WithKind(gvk.Kind+"List"), scopeOf(o)) // as mappers that ask have it
	}
	return m, nil
}

func scopeOf(o client.Object) meta.RESTScope {
	switch o.(type) {
	case *corev1.Service, *corev1.Pod, *corev1.Secret, *discoveryv1.EndpointSlice:
		return meta.RESTScopeNamespace
	}
	return meta.RESTScopeRoot
}
