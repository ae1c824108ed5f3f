package liveness

import (
	"bytes"
	"strings"
	"testing"
)

func testPacket() packet {
	p := packet{kind: kindRequest, sequence: 7, from: "node-1", to: "node-2"}
	copy(p.nonce[:], filled(nonceLen, 9))
	return p
}

func testKeys(t testing.TB, secrets ...string) keys {
	t.Helper()
	var all [][]byte
	for _, s := range secrets {
		all = append(all, []byte(s))
	}
	ks, err := deriveKeys(all...)
	must(t, err)
	return ks
}

func TestPacketRoundTrip(t *testing.T) {
	ks := testKeys(t, "a", "b", "a")
	if len(ks) != 2 {
		t.Fatalf("%d keys", len(ks))
	}
	long := testPacket()
	long.from, long.to = strings.Repeat("f", maxName), strings.Repeat("t", maxName)
	for _, p := range []packet{testPacket(), testPacket().reply(), long} {
		b := p.encode(nil, ks[1])
		got, signed, mac, ok := decode(b)
		if !ok || got != p {
			t.Errorf("got %+v, %v, want %+v", got, ok, p)
		}
		if key := ks.find(signed, mac); !bytes.Equal(key, ks[1]) {
			t.Error("the key is not found")
		}
		if testKeys(t, "c").find(signed, mac) != nil {
			t.Error("another key fits")
		}
	}
	if n := len(long.encode(nil, ks[0])); n != maxPacket {
		t.Errorf("the longest packet has %d bytes, want %d", n, maxPacket)
	}
}

// TestEveryBitCounts changes each bit of a packet, and cuts it off everywhere.
func TestEveryBitCounts(t *testing.T) {
	ks := testKeys(t, "a")
	good := testPacket().encode(nil, ks[0])
	valid := func(b []byte) bool {
		_, signed, mac, ok := decode(b)
		return ok && ks.find(signed, mac) != nil
	}
	if !valid(good) {
		t.Fatal("the packet itself is not valid")
	}
	for i := range len(good) * 8 {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if valid(bad) {
			t.Errorf("bit %d may be turned", i)
		}
	}
	for n := range good {
		if valid(good[:n]) {
			t.Errorf("it may be cut to %d bytes", n)
		}
	}
	if valid(append(bytes.Clone(good), 0)) {
		t.Error("it may be followed by something")
	}
}

func TestKeysNeedBytes(t *testing.T) {
	for _, secrets := range [][][]byte{nil, {nil}, {[]byte("a"), {}}} {
		if _, err := deriveKeys(secrets...); err == nil {
			t.Errorf("%q makes keys", secrets)
		}
	}
}

func FuzzDecode(f *testing.F) {
	key := testKeys(f, "a")[0]
	f.Add(testPacket().encode(nil, key))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, signed, mac, ok := decode(b)
		if !ok {
			return
		}
		if !bytes.Equal(append(bytes.Clone(signed), mac...), b) {
			t.Fatal("parts are missing")
		}
		if again := p.encode(nil, key); !bytes.Equal(again[:len(signed)], signed) {
			t.Fatal("it says something else than what is signed")
		}
	})
}
