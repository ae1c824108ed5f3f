package links

import (
	"testing"

	"github.com/belfry-lb/belfry/e2e/vm"
)

// TestLinks runs TestGuest in a virtual machine, for many a test machine's kernel knows no bonds and no VLANs.
func TestLinks(t *testing.T) {
	vm.Guest(t, vm.Machine{Modules: []string{"veth", "bridge", "bonding", "8021q", "macvlan"}})
}
