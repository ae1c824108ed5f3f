package bfd

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// bird is a router with nothing but BFD.
type bird struct {
	router
	process *os.Process
}

func birdConfig(body string) string {
	return "router id 10.0.0.1;\nprotocol device {}\nprotocol bfd {\n" + body + "\n}\n"
}

func birdTimers(interval time.Duration, multiplier uint8, more string) string {
	return fmt.Sprintf("min rx interval %d ms; min tx interval %[1]d ms; idle tx interval 1 s; multiplier %d; %s",
		interval.Milliseconds(), multiplier, more)
}

// birdOptions are those of all interfaces and of multihop sessions.
func birdOptions(options string) string {
	return "interface \"*\" { " + options + " };\nmultihop { " + strings.ReplaceAll(options, "passive", "") + " };\n"
}

func startBIRD(t *testing.T, h *host, body string) *bird {
	t.Helper()
	b := &bird{router: newRouter(t, h)}
	b.write("bird.conf", birdConfig(body))
	b.process = b.daemon(b.root+"/usr/sbin/bird", "-f", "-c", b.path("bird.conf"), "-s", b.path("bird.ctl"), "-P", b.path("bird.pid"))
	until(t, "BIRD", func() bool { _, err := b.birdc("show status"); return err == nil })
	return b
}

func (b *bird) birdc(command ...string) (string, error) {
	return b.run(append([]string{b.root + "/usr/sbin/birdcl", "-s", b.path("bird.ctl")}, command...)...)
}

func (b *bird) configure(body string) {
	b.t.Helper()
	b.write("bird.conf", birdConfig(body))
	if out, err := b.birdc("configure"); err != nil || !strings.Contains(out, "Reconfigur") {
		b.t.Fatalf("configuring BIRD: %v: %s", err, out)
	}
}

// state is what BIRD says of its one session.
func (b *bird) state() string {
	b.t.Helper()
	out, err := b.birdc("show bfd sessions")
	if err != nil {
		b.t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 6 && f[0] != "IP" {
			return f[2]
		}
	}
	return ""
}
