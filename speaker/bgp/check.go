package bgp

import (
	"errors"
	"fmt"
	"time"
)

// check finds what makes a session impossible, before anything is tried.
func (s Session) check() error {
	switch {
	case s.LocalASN == 0:
		return errors.New("the local ASN is missing")
	case !s.RouterID.Is4() || s.RouterID.IsUnspecified():
		return errors.New("the router ID is not an IPv4 address")
	case s.Address.IsValid() == (s.Interface != ""):
		return errors.New("either an address or an interface is needed")
	case s.Address.IsValid() && (s.Address.IsUnspecified() || s.Address.IsMulticast() || s.Address.Is4In6()):
		return fmt.Errorf("%s is not a router's address", s.Address)
	case s.Address.IsLinkLocalUnicast() && s.Address.Is6() && s.Address.Zone() == "":
		return fmt.Errorf("link-local address %s needs an interface", s.Address)
	case s.SourceAddress.IsValid() && s.Address.IsValid() && s.SourceAddress.Is4() != s.Address.Is4():
		return fmt.Errorf("source address %s is of another family than %s", s.SourceAddress, s.Address)
	case s.Listen && !s.SourceAddress.IsValid():
		return errors.New("listening needs a source address")
	case s.Listen && s.Interface != "":
		return errors.New("listening needs the router's address")
	case s.HoldTime < 3*time.Second:
		return fmt.Errorf("hold time %s is under 3s", s.HoldTime)
	case s.KeepaliveTime >= s.HoldTime:
		return fmt.Errorf("keepalive time %s is not under hold time %s", s.KeepaliveTime, s.HoldTime)
	case len(s.Password) > maxPassword:
		return fmt.Errorf("the password is longer than %d bytes", maxPassword)
	case s.TTL > 0 && s.SecurityHops > 0:
		return errors.New("multihop and TTL security exclude each other")
	}
	return nil
}

// maxPassword is the kernel's limit (TCP_MD5SIG_MAXKEYLEN).
const maxPassword = 80
