package migrate

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/spec"
)

// validate reads our objects as Belfry itself will. What cannot be read is left out with a Note; what can be read and
// still has a problem stays, with a Note: it is for the user to mend.
func (r *Result) validate() {
	var all spec.Objects
	kept := r.Objects[:0]
	for _, o := range r.Objects {
		if err := add(&all, o); err != nil {
			r.note(Unreadable, o.GetKind()+" "+o.GetName(), "", err.Error())
			continue
		}
		kept = append(kept, o)
	}
	r.Objects = kept
	_, problems := spec.Parse(all)
	for _, p := range problems {
		r.note(Changed, p.Kind+" "+p.Name, "", fmt.Sprintf("needs a change by you before it can be used: %s", p.Message))
	}
}

// add decodes one object, strictly: a field that its kind does not have is an error.
func add(all *spec.Objects, o *unstructured.Unstructured) error {
	b, err := o.MarshalJSON()
	if err != nil {
		return err
	}
	switch o.GetKind() {
	case "IPAddressPool":
		return decode(b, &all.Pools, v1beta1.IPAddressPool{})
	case "L2Advertisement":
		return decode(b, &all.L2Advertisements, v1beta1.L2Advertisement{})
	case "BGPPeer":
		return decode(b, &all.BGPPeers, v1beta1.BGPPeer{})
	case "BGPAdvertisement":
		return decode(b, &all.BGPAdvertisements, v1beta1.BGPAdvertisement{})
	case "BFDProfile":
		return decode(b, &all.BFDProfiles, v1beta1.BFDProfile{})
	}
	return decode(b, &all.Communities, v1beta1.Community{})
}

func decode[T any](b []byte, list *[]T, o T) error {
	if err := yaml.UnmarshalStrict(b, &o); err != nil {
		return err
	}
	*list = append(*list, o)
	return nil
}
