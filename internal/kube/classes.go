package kube

import (
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// Classes says which Services of type LoadBalancer are ours. The controller and the speaker must be given the same one.
type Classes struct {
	LoadBalancerClass string // spec.loadBalancerClass that is ours; empty: none is
	HandleUnclassed   bool   // Services without a class are ours too
}

// DefaultClasses is what the flags say when nobody sets them.
func DefaultClasses() Classes {
	return Classes{LoadBalancerClass: v1beta1.DefaultLoadBalancerClass, HandleUnclassed: true}
}

// AddFlags puts --load-balancer-class and --handle-unclassed into fs; what c holds now are the defaults.
func (c *Classes) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&c.LoadBalancerClass, "load-balancer-class", c.LoadBalancerClass,
		"serve Services whose spec.loadBalancerClass is this; empty: none that has a class")
	fs.BoolVar(&c.HandleUnclassed, "handle-unclassed", c.HandleUnclassed,
		"serve Services that have no spec.loadBalancerClass")
}

// Ours tells whether the Service is of type LoadBalancer and of a class that we serve. A Service that is being deleted
// is still ours.
func (c Classes) Ours(s *corev1.Service) bool {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return false
	}
	if s.Spec.LoadBalancerClass == nil {
		return c.HandleUnclassed
	}
	return c.LoadBalancerClass != "" && *s.Spec.LoadBalancerClass == c.LoadBalancerClass
}
