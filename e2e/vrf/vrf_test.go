package vrf

import (
	"testing"

	"github.com/belfry-lb/belfry/e2e/vm"
)

// TestVRF runs TestGuest in a virtual machine, for many a test machine's kernel knows no VRF.
func TestVRF(t *testing.T) {
	vm.Guest(t, vm.Machine{Modules: []string{"vrf", "veth"}, Packages: []string{"bird2"}, Programs: []string{"usr/sbin/bird"}})
}
