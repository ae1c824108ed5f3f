package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// parseWishes reads what a Service asks for. The first wish that makes no sense is told in BadWish, and then none is
// granted.
func (s *Service) parseWishes(o *corev1.Service) {
	_, s.WantPool = wishOf(o, v1beta1.AnnotationPool, v1beta1.MetalLBPool)
	_, s.SharingKey = wishOf(o, v1beta1.AnnotationSharingKey, v1beta1.MetalLBSharingKey)
	s.Reservation = strings.TrimSpace(o.Annotations[v1beta1.AnnotationReservation])
	s.Reallocate = o.Annotations[v1beta1.AnnotationReallocate]
	s.Reallocated = o.Annotations[v1beta1.AnnotationReallocated]
	var err error
	if s.WantIPs, err = wantedIPs(o); err == nil {
		err = s.contradiction()
	}
	if err != nil {
		s.BadWish = err.Error()
	}
}

// wishOf returns an annotation of ours, else the same in MetalLB's names, and under which name it was found. An empty one
// of ours hides MetalLB's.
func wishOf(o *corev1.Service, ours, theirs string) (name, value string) {
	for _, name := range []string{ours, v1beta1.MetalLBPrefix + theirs, v1beta1.OldMetalLBPrefix + theirs} {
		if value, ok := o.Annotations[name]; ok {
			return name, strings.TrimSpace(value)
		}
	}
	return "", ""
}

// wantedIPs lists the addresses asked for by an annotation or by spec.loadBalancerIP. Both may be there if they agree.
func wantedIPs(o *corev1.Service) ([]netip.Addr, error) {
	name, list := wishOf(o, v1beta1.AnnotationIPs, v1beta1.MetalLBIPs)
	ips, err := parseIPs(name, list)
	if err != nil || o.Spec.LoadBalancerIP == "" {
		return ips, err
	}
	ip, err := parseAddr(o.Spec.LoadBalancerIP)
	switch {
	case err != nil:
		return nil, fmt.Errorf("spec.loadBalancerIP: %q is no address", o.Spec.LoadBalancerIP)
	case len(ips) == 0:
		return []netip.Addr{ip}, nil
	case !slices.Contains(ips, ip):
		return nil, fmt.Errorf("spec.loadBalancerIP asks for %s, but annotation %s for %s: remove one of them", ip, name, list)
	}
	return ips, nil
}

func parseIPs(name, list string) (ips []netip.Addr, _ error) {
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		ip, err := parseAddr(part)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %q is no address: write one address, or several joined by commas", name, strings.TrimSpace(part))
		}
		if !slices.Contains(ips, ip) {
			ips = append(ips, ip)
		}
	}
	return ips, nil
}

// contradiction tells which two wishes cannot be met at once, as far as the Service alone shows it.
func (s *Service) contradiction() error {
	switch {
	case s.Reservation != "" && len(s.WantIPs) > 0:
		return fmt.Errorf("annotation %s asks for the addresses of a reservation, but %s is asked for by name: remove one of them", v1beta1.AnnotationReservation, s.WantIPs[0])
	case s.Reservation != "" && s.WantPool != "":
		return fmt.Errorf("annotation %s asks for the addresses of a reservation, but pool %s is asked for: remove one of them", v1beta1.AnnotationReservation, s.WantPool)
	}
	return nil
}
