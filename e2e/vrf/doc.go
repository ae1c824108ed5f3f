// Package vrf holds tests of BGP in a Linux VRF, which run in a virtual machine.
package vrf
