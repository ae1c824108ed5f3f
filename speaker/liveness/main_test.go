package liveness

import (
	"bytes"
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

// TestMain is a node's process where a test has started this binary as one.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(childEnv) != "":
		os.Exit(child(os.Getenv(childEnv)))
	case os.Getenv(busyEnv) != "":
		for b := sha256.Sum256(nil); ; {
			b = sha256.Sum256(b[:])
		}
	}
	goleak.VerifyTestMain(m)
}

const patience = 30 * time.Second // for a condition; only a failure waits that long

var secret = []byte("the key of the group, of any length")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting for %s", what)
		}
	}
}

func value(t testing.TB, metric prometheus.Metric) float64 {
	t.Helper()
	var d dto.Metric
	must(t, metric.Write(&d))
	return d.GetCounter().GetValue() + d.GetGauge().GetValue()
}

func filled(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }
