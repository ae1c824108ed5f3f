package cli

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// right is something that a command must be allowed to do.
type right struct {
	verb, group, resource, subresource, namespace, name string
}

func (r right) String() string {
	what := r.resource
	if r.subresource != "" {
		what += "/" + r.subresource
	}
	if r.group != "" {
		what += "." + r.group
	}
	return r.verb + " " + what
}

// may asks the API server whether the user has a right.
func (c *cluster) may(ctx context.Context, r right) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Namespace: r.namespace, Name: r.name,
		},
	}}
	if err := c.client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("asking whether you may %s: %w", r, err)
	}
	return review.Status.Allowed, nil
}

// require fails before anything is written when a right is missing.
func (c *cluster) require(ctx context.Context, command string, rights ...right) error {
	for _, r := range rights {
		ok, err := c.may(ctx, r)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s needs the right to %s (%s), which you do not have; nothing was changed", command, r, r.name)
		}
	}
	return nil
}
