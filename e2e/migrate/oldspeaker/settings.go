package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// settings are what the old speaker on this node says, and to whom.
type settings struct {
	node      string
	ip        netip.Addr
	members   []string     // addresses of all nodes
	addresses []address    // for ARP
	routes    []netip.Addr // for BGP
	routers   []string     // none on nodes that do not speak BGP
	asn, peer string
	password  string
	metrics   string
}

// address is one to answer for; only names the node that may, where it leads to Pods of that node alone.
type address struct {
	netip.Addr
	only string
}

func readSettings() (s settings, err error) {
	s = settings{
		node: os.Getenv("NODE_NAME"), members: list("MEMBERS"), routers: list("ROUTERS"),
		asn: os.Getenv("ASN"), peer: os.Getenv("PEER_ASN"), password: os.Getenv("PASSWORD"),
	}
	if !slices.Contains(list("BGP_NODES"), s.node) {
		s.routers = nil
	}
	if s.ip, err = netip.ParseAddr(os.Getenv("NODE_IP")); err != nil {
		return s, fmt.Errorf("reading NODE_IP: %w", err)
	}
	s.metrics = netip.AddrPortFrom(s.ip, 7472).String()
	if s.addresses, err = addresses("ADDRESSES"); err != nil {
		return s, err
	}
	routes, err := addresses("ROUTES")
	for _, r := range routes {
		s.routes = append(s.routes, r.Addr)
	}
	return s, err
}

func list(name string) []string {
	return strings.FieldsFunc(os.Getenv(name), func(r rune) bool { return r == ',' })
}

func addresses(name string) (all []address, err error) {
	for _, text := range list(name) {
		text, only, _ := strings.Cut(text, "=")
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		all = append(all, address{a, only})
	}
	return all, nil
}
