// Package links holds tests of layer 2 on bonds, VLANs and macvlans, which run in a virtual machine.
package links
