package spec

import (
	"cmp"
	"slices"
	"time"

	"github.com/belfry-lb/belfry/api/v1beta1"
)

// BFDProfile says how the path to a router is watched.
type BFDProfile struct {
	Name       string
	Receive    time.Duration // shortest intervals that this end wants
	Transmit   time.Duration
	Multiplier uint8
	Echo       time.Duration // 0: none
	Passive    bool
	MinTTL     uint8 // over several hops
	Auth       BFDAuth
}

// BFDAuth says how packets are authenticated; the zero value: not at all. Type is the number on the wire, RFC 5880 §4.1.
type BFDAuth struct {
	Type   uint8
	KeyID  uint8
	Secret SecretRef
}

// The defaults.
const (
	defaultBFDInterval   = 300
	defaultBFDMultiplier = 3
	defaultEchoInterval  = 50
	defaultMinTTL        = 254
	defaultKeyID         = 1
)

func parseBFDProfiles(objects []v1beta1.BFDProfile) (profiles []BFDProfile, problems []Problem) {
	for i := range objects {
		p, err := parseBFDProfile(&objects[i])
		if err != nil {
			problems = append(problems, Problem{Kind: "BFDProfile", Name: objects[i].Name, Reason: ReasonBadValue, Message: err.Error()})
			continue
		}
		profiles = append(profiles, p)
	}
	slices.SortFunc(profiles, func(a, b BFDProfile) int { return cmp.Compare(a.Name, b.Name) })
	return profiles, problems
}

func parseBFDProfile(o *v1beta1.BFDProfile) (BFDProfile, error) {
	s, r := o.Spec, reader{}
	p := BFDProfile{
		Name:       o.Name,
		Receive:    r.milliseconds("receiveInterval", s.ReceiveInterval, defaultBFDInterval),
		Transmit:   r.milliseconds("transmitInterval", s.TransmitInterval, defaultBFDInterval),
		Multiplier: r.octet("detectMultiplier", s.DetectMultiplier, defaultBFDMultiplier, 2, 255),
		Passive:    on(s.PassiveMode),
		MinTTL:     r.octet("minimumTtl", s.MinimumTTL, defaultMinTTL, 1, 254),
	}
	if on(s.EchoMode) {
		p.Echo = r.milliseconds("echoInterval", s.EchoInterval, defaultEchoInterval)
	}
	if a := s.Authentication; a != nil {
		p.Auth = BFDAuth{r.authType(a.Type), r.octet("authentication.keyID", a.KeyID, defaultKeyID, 0, 255), SecretRef{Name: a.SecretRef.Name}}
		if a.SecretRef.Name == "" {
			r.fail("spec.authentication.secretRef needs a name")
		}
	}
	return p, r.err
}

func (r *reader) milliseconds(field string, v *int32, unset int32) time.Duration {
	if v != nil && (*v < 10 || *v > 60000) {
		r.fail("spec.%s: %d is not from 10 to 60000", field, *v)
	}
	if v != nil {
		unset = *v
	}
	return time.Duration(unset) * time.Millisecond
}

func (r *reader) octet(field string, v *int32, unset, lowest, highest int32) uint8 {
	if v == nil {
		return uint8(unset)
	}
	if *v < lowest || *v > highest {
		r.fail("spec.%s: %d is not from %d to %d", field, *v, lowest, highest)
		return 0
	}
	return uint8(*v)
}

// authType returns the type's number in RFC 5880 §4.1.
func (r *reader) authType(t v1beta1.BFDAuthenticationType) uint8 {
	i := slices.Index([]v1beta1.BFDAuthenticationType{
		"", v1beta1.BFDSimplePassword, v1beta1.BFDKeyedMD5, v1beta1.BFDMeticulousKeyedMD5, v1beta1.BFDKeyedSHA1, v1beta1.BFDMeticulousKeyedSHA1,
	}, t)
	if i < 1 {
		r.fail("spec.authentication.type: %q is no type of RFC 5880", t)
		return 0
	}
	return uint8(i)
}
