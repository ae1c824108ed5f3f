package spec

import (
	"strings"
	"testing"
)

func TestCheckUsable(t *testing.T) {
	for addresses, want := range map[string]string{
		"192.0.2.0/24":            "",
		"10.0.0.0/8":              "",
		"100.64.0.0/10":           "",
		"2001:db8::/64":           "",
		"fd00::/8":                "",
		"0.0.0.0-0.0.0.5":         "0.0.0.0/8 (unspecified)",
		"127.0.0.1":               "127.0.0.0/8 (loopback)",
		"126.0.0.0-128.0.0.1":     "127.0.0.0/8 (loopback)",
		"169.254.1.1":             "169.254.0.0/16 (link-local)",
		"223.255.255.0-224.0.0.1": "224.0.0.0/4 (multicast)",
		"255.255.255.255":         "255.255.255.255/32 (the broadcast address)",
		"::":                      "::/128 (unspecified)",
		"::1":                     "::1/128 (loopback)",
		"fe80::1":                 "fe80::/10 (link-local)",
		"ff02::1":                 "ff00::/8 (multicast)",
	} {
		r, err := ParseRange(addresses)
		if err != nil {
			t.Fatal(err)
		}
		err = checkUsable(r, specials())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", addresses, err, want)
		}
	}
}
