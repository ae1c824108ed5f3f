package spec

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// reader reads fields and keeps the first error.
type reader struct{ err error }

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// session reads what holds on every node, and fills in the defaults.
func (r *reader) session(s v1beta1.BGPPeerSpec) Session {
	hold := r.duration("holdTime", s.HoldTime, defaultHold, 3*time.Second, math.MaxUint16*time.Second)
	out := Session{
		PeerASN:         r.asn("peerASN", s.PeerASN),
		Address:         r.address("peerAddress", s.PeerAddress),
		Interface:       s.Interface,
		Gateway:         s.AutoDiscovery == v1beta1.AutoDiscoveryDefaultGateway,
		Port:            uint16(r.within("peerPort", cmp.Or(s.PeerPort, defaultPort), math.MaxUint16)),
		Listen:          on(s.Listen),
		SourceAddress:   r.address("sourceAddress", s.SourceAddress),
		SourceInterface: s.SourceInterface,
		VRF:             s.VRFName,
		Password:        s.Password,
		TTL:             neighbourTTL,
		SecurityHops:    uint8(r.within("ttlSecurityHops", s.TTLSecurityHops, 254)),
		HoldTime:        hold,
		KeepaliveTime:   r.duration("keepaliveTime", s.KeepaliveTime, hold/3, time.Second, math.MaxUint16*time.Second),
		ConnectTime:     r.duration("connectTime", s.ConnectTime, defaultConnect, time.Second, math.MaxUint16*time.Second),
		GracefulRestart: on(s.EnableGracefulRestart),
		RestartTime:     r.duration("gracefulRestartTime", s.GracefulRestartTime, defaultRestart, time.Second, 4095*time.Second),
		IPv4:            on(s.DualStackAddressFamily) || slices.Contains(s.Families, v1beta1.IPFamily(IPv4.String())),
		IPv6:            on(s.DualStackAddressFamily) || slices.Contains(s.Families, v1beta1.IPFamily(IPv6.String())),
		BFDProfile:      s.BFDProfile,
		BFDStrict:       on(s.BFDStrict),
	}
	if s.DynamicASN == v1beta1.DynamicASNInternal {
		out.PeerType = Internal
	}
	if on(s.EBGPMultiHop) {
		out.TTL = uint8(r.within("ebgpMultiHopTTL", cmp.Or(s.EBGPMultiHopTTL, multiHopTTL), 255))
	}
	if s.RouterID != "" {
		out.RouterID = r.routerID(s.RouterID)
	}
	if s.PasswordSecret != nil {
		out.Secret = SecretRef{s.PasswordSecret.Namespace, s.PasswordSecret.Name}
		r.secret(out)
	}
	if s.NextHop != nil {
		out.NextHop4, out.NextHop6 = r.address("nextHop.ipv4", s.NextHop.IPv4), r.address("nextHop.ipv6", s.NextHop.IPv6)
	}
	if out.KeepaliveTime >= out.HoldTime {
		r.fail("spec.keepaliveTime: %s is not shorter than the hold time of %s", out.KeepaliveTime, out.HoldTime)
	}
	if out.NextHop6.Is4() {
		r.fail("spec.nextHop.ipv6: %s is no IPv6 address", out.NextHop6)
	}
	return out
}

func (r *reader) secret(s Session) {
	switch {
	case s.Secret.Name == "":
		r.fail("spec.passwordSecret needs a name")
	case s.Password != "":
		r.fail("spec.password and spec.passwordSecret exclude each other")
	}
}

func (r *reader) asn(field string, v int64) uint32 {
	if v < 0 || v > math.MaxUint32 {
		r.fail("spec.%s: %d is no ASN: it is a number from 1 to 4294967295", field, v)
		return 0
	}
	return uint32(v)
}

// within reads a number from 0 to the highest one that is allowed.
func (r *reader) within(field string, v, highest int32) int32 {
	if v < 0 || v > highest {
		r.fail("spec.%s: %d is not from 0 to %d", field, v, highest)
		return 0
	}
	return v
}

func (r *reader) address(field string, v v1beta1.Address) netip.Addr {
	if v == "" {
		return netip.Addr{}
	}
	a, err := parseAddr(string(v))
	if err == nil {
		err = checkHost(a)
	}
	if err != nil {
		r.fail("spec.%s: %q is no host's address", field, v)
		return netip.Addr{}
	}
	return a
}

func (r *reader) routerID(v string) netip.Addr {
	a, err := netip.ParseAddr(v)
	if err != nil || !a.Is4() || a.IsUnspecified() {
		r.fail("spec.routerID: %q is not written like an IPv4 address", v)
		return netip.Addr{}
	}
	return a
}

func (r *reader) duration(field string, v *metav1.Duration, unset, lowest, highest time.Duration) time.Duration {
	if v == nil {
		return unset
	}
	if v.Duration < lowest || v.Duration > highest {
		r.fail("spec.%s: %s is not from %s to %s", field, v.Duration, lowest, highest)
		return unset
	}
	return v.Duration
}
