package bgp

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// check finds what makes a session impossible, before anything is tried.
func (s Session) check() error {
	return cmp.Or(s.checkIdentity(), s.checkAddress(), s.checkWays(), s.checkTimes())
}

func (s Session) checkIdentity() error {
	switch {
	case s.LocalASN == 0:
		return errors.New("the local ASN is missing")
	case !s.RouterID.Is4() || s.RouterID.IsUnspecified():
		return errors.New("the router ID is not an IPv4 address")
	case len(s.Password) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return nil
}

func (s Session) checkAddress() error {
	a := s.Address
	switch {
	case a.IsValid() == (s.Interface != ""):
		return errors.New("either an address or an interface is needed")
	case !a.IsValid():
		return nil
	case a.IsUnspecified() || a.IsMulticast() || a.Is4In6():
		return fmt.Errorf("%s is not a router's address", a)
	case a.IsLinkLocalUnicast() && a.Is6() && a.Zone() == "":
		return fmt.Errorf("link-local address %s needs an interface", a)
	case s.SourceAddress.IsValid() && s.SourceAddress.Is4() != a.Is4():
		return fmt.Errorf("source address %s is of another family than %s", s.SourceAddress, a)
	}
	return nil
}

// checkWays checks the ways in which the two ends get to each other.
func (s Session) checkWays() error {
	switch {
	case s.Listen && !s.SourceAddress.IsValid():
		return errors.New("listening needs a source address")
	case s.Listen && s.Interface != "":
		return errors.New("listening needs the router's address")
	case s.TTL > 0 && s.SecurityHops > 0:
		return errors.New("multihop and TTL security exclude each other")
	}
	return nil
}

func (s Session) checkTimes() error {
	switch {
	case s.HoldTime < 3*time.Second:
		return fmt.Errorf("hold time %s is under 3s", s.HoldTime)
	case s.KeepaliveTime >= s.HoldTime:
		return fmt.Errorf("keepalive time %s is not under hold time %s", s.KeepaliveTime, s.HoldTime)
	}
	return nil
}

// maxPassword is the kernel's limit (TCP_MD5SIG_MAXKEYLEN).
const maxPassword = 80
