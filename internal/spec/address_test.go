package spec

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		in, want string // the range as String writes it, or
		err      []string
	}{
		{in: "192.0.2.0/30", want: "192.0.2.0-192.0.2.3"},
		{in: " 192.0.2.7 ", want: "192.0.2.7"},
		{in: "192.0.2.7/32", want: "192.0.2.7"},
		{in: "0.0.0.0/0", want: "0.0.0.0-255.255.255.255"},
		{in: "192.0.2.10-192.0.2.20", want: "192.0.2.10-192.0.2.20"},
		{in: "192.0.2.10 - 192.0.2.10", want: "192.0.2.10"},
		{in: "2001:db8::/126", want: "2001:db8::-2001:db8::3"},
		{in: "2001:db8::/121", want: "2001:db8::-2001:db8::7f"},
		{in: "::/0", want: "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		{in: "::ffff:192.0.2.1-::ffff:192.0.2.2", want: "192.0.2.1-192.0.2.2"},
		{in: "::ffff:192.0.2.1", want: "192.0.2.1"},
		{in: "192.0.2.9/28", err: []string{`"192.0.2.9/28"`, "192.0.2.0/28", "192.0.2.9/32"}},
		{in: "2001:db8::1/64", err: []string{"2001:db8::/64", "2001:db8::1/128"}},
		{in: "::ffff:192.0.2.0/120", err: []string{"write it as IPv4"}},
		{in: "192.0.2.0/33", err: []string{"no CIDR"}},
		{in: "192.0.2.20-192.0.2.10", err: []string{"ends before it begins", "192.0.2.10-192.0.2.20"}},
		{in: "192.0.2.20-2001:db8::", err: []string{"mixes IPv4 and IPv6"}},
		{in: "192.0.2.20-", err: []string{"no range"}},
		{in: "a-b", err: []string{"no range"}},
		{in: "fe80::1%eth0", err: []string{"no CIDR, no range and no address"}},
		{in: "fe80::1%eth0-fe80::2%eth0", err: []string{"no range"}},
		{in: "", err: []string{"no CIDR, no range and no address"}},
		{in: "example.org", err: []string{"no CIDR, no range and no address", "192.0.2.0/28"}},
	} {
		t.Run(c.in, func(t *testing.T) {
			got, err := ParseRange(c.in)
			if (err != nil) != (c.err != nil) {
				t.Fatalf("error %v", err)
			}
			for _, words := range c.err {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
			if err == nil && got.String() != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRangeSize(t *testing.T) {
	for in, want := range map[string]int64{
		"192.0.2.7":     1,
		"192.0.2.0/24":  256,
		"0.0.0.0/0":     1 << 32,
		"2001:db8::/66": 1 << 62,
		"2001:db8::/65": math.MaxInt64,
		"2001:db8::/64": math.MaxInt64,
		"::/0":          math.MaxInt64,
		"2001:db8::-2001:db8::7fff:ffff:ffff:fffe": math.MaxInt64, // this one exactly
	} {
		r, err := ParseRange(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Size(); got != want {
			t.Errorf("%s: %d, want %d", in, got, want)
		}
	}
}

// ranges reads a list like "192.0.2.0/28 192.0.2.32".
func ranges(t *testing.T, list string) []Range {
	t.Helper()
	var out []Range
	for s := range strings.FieldsSeq(list) {
		r, err := ParseRange(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func TestMerge(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"192.0.2.8/30 192.0.2.0/30": "192.0.2.0/30 192.0.2.8/30",
		"192.0.2.4/30 192.0.2.0/30": "192.0.2.0/29",
		"192.0.2.0/24 192.0.2.4/30": "192.0.2.0/24",
		"192.0.2.0-192.0.2.9 192.0.2.5-192.0.2.20":                "192.0.2.0-192.0.2.20",
		"2001:db8::/64 255.255.255.255 ::":                        "255.255.255.255 :: 2001:db8::/64",
		"255.255.255.0/24 255.255.255.255":                        "255.255.255.0/24",
		"2001:db8::/65 2001:db8::8000:0:0:0/65 2001:db8:0:1::/64": "2001:db8::/63",
	} {
		if d := cmp.Diff(fmt.Sprint(ranges(t, want)), fmt.Sprint(Merge(ranges(t, in)))); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
}

func TestSubtract(t *testing.T) {
	for _, c := range []struct{ from, out, want string }{
		{"192.0.2.0/24", "", "192.0.2.0/24"},
		{"", "192.0.2.0/24", ""},
		{"192.0.2.0/24", "192.0.2.0/24", ""},
		{"192.0.2.0/28", "192.0.2.0 192.0.2.15", "192.0.2.1-192.0.2.14"},
		{"192.0.2.0/28", "192.0.2.7-192.0.2.8", "192.0.2.0-192.0.2.6 192.0.2.9-192.0.2.15"},
		{"192.0.2.0/28 192.0.2.32/28", "192.0.2.8-192.0.2.39", "192.0.2.0/29 192.0.2.40/29"},
		{"0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"},
		{"0.0.0.0/0", "128.0.0.0/1", "0.0.0.0/1"},
		{"192.0.2.0/24", "::/0", "192.0.2.0/24"},
		{"::/0", "8000::/1", "::/1"},
	} {
		got := Subtract(ranges(t, c.from), ranges(t, c.out))
		if d := cmp.Diff(fmt.Sprint(ranges(t, c.want)), fmt.Sprint(got)); d != "" {
			t.Errorf("%s without %s: %s", c.from, c.out, d)
		}
	}
}

// spread makes ranges within sixteen addresses at the start, the end and the middle of both families.
func spread(choices func(int) int) []Range {
	bases := []string{"0.0.0.0", "192.0.2.248", "255.255.255.240", "::", "2001:db8::fff8", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff0"}
	var out []Range
	for range choices(6) {
		base := netip.MustParseAddr(bases[choices(len(bases))])
		from := choices(16)
		out = append(out, Range{step(base, from), step(base, from+choices(16-from))})
	}
	return out
}

func step(a netip.Addr, n int) netip.Addr {
	for range n {
		a = a.Next()
	}
	return a
}

// checkSets compares Merge and Subtract with the same on sets of single addresses.
func checkSets(t *testing.T, a, b []Range) {
	t.Helper()
	in := func(rs []Range, x netip.Addr) (n int) {
		for _, r := range rs {
			if r.Contains(x) {
				n++
			}
		}
		return n
	}
	merged, left := Merge(a), Subtract(a, b)
	for _, r := range append(append([]Range{}, a...), b...) {
		for x := r.From; r.Contains(x); x = x.Next() {
			if got, want := in(merged, x), min(in(a, x), 1); got != want {
				t.Fatalf("Merge(%v) = %v has %s %d times", a, merged, x, got)
			}
			if got, want := in(left, x) == 1, in(a, x) > 0 && in(b, x) == 0; got != want {
				t.Fatalf("Subtract(%v, %v) = %v: %s", a, b, left, x)
			}
		}
	}
	for _, rs := range [][]Range{merged, left} {
		for i := 1; i < len(rs); i++ {
			if !rs[i-1].To.Less(rs[i].From) || touches(rs[i-1], rs[i]) && len(b) == 0 {
				t.Fatalf("%v and %v: %v is not ascending and disjoint", a, b, rs)
			}
		}
	}
}

func TestSets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		checkSets(t, spread(r.IntN), spread(r.IntN))
	}
}

func FuzzSets(f *testing.F) {
	f.Add([]byte{2, 0, 0, 15, 0, 3, 4, 1, 0, 7, 7})
	f.Add([]byte{3, 2, 0, 15, 2, 15, 0, 5, 15, 0, 2, 2, 3, 3, 5, 0, 15})
	f.Fuzz(func(t *testing.T, in []byte) {
		next := func(n int) int {
			if len(in) == 0 {
				return 0
			}
			b := int(in[0])
			in = in[1:]
			return b % n
		}
		checkSets(t, spread(next), spread(next))
	})
}

// FuzzParseRange: whatever is accepted is a proper range, and comes back the same when it is written and read again.
func FuzzParseRange(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "192.0.2.1-192.0.2.9", "2001:db8::/64", "::1", "::ffff:1.2.3.4", "1.2.3.4-::1", "fe80::1%a", "1/1", "-", "10.0.0.1/8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRange(s)
		if err != nil {
			return
		}
		if !r.From.IsValid() || r.From.Zone() != "" || r.From.Is4() != r.To.Is4() || r.From.Is4In6() || r.To.Less(r.From) || r.Size() < 1 {
			t.Fatalf("%q was read as %v", s, r)
		}
		if again, err := ParseRange(r.String()); err != nil || again != r {
			t.Fatalf("%q: %v comes back as %v, %v", s, r, again, err)
		}
	})
}
