package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const birdConf = "/bird.conf"

// speak runs BIRD until the context ends. Told to end, it closes its sessions; routers hear so at once.
func speak(ctx context.Context, s settings) error {
	if err := os.WriteFile(birdConf, []byte(bird(s)), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/bird", "-f", "-c", birdConf, "-s", "/bird.ctl", "-P", "/bird.pid")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 3 * time.Second
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("running BIRD: %w", err)
	}
	return nil
}

// bird is BIRD's configuration: addresses that go to no kernel, and a session with each router.
func bird(s settings) string {
	var c strings.Builder
	fmt.Fprintf(&c, "router id %s;\nlog stderr all;\nprotocol device {}\nprotocol static {\n  ipv4;\n", s.ip)
	for _, a := range s.routes {
		fmt.Fprintf(&c, "  route %s/32 blackhole;\n", a)
	}
	c.WriteString("}\n")
	for i, r := range s.routers {
		fmt.Fprintf(&c, "protocol bgp r%d {\n  local %s as %s;\n  neighbor %s as %s;\n  connect delay time 1;\n  connect retry time 2;\n  error wait time 1, 2;\n", i+1, s.ip, s.asn, r, s.peer)
		if s.password != "" {
			fmt.Fprintf(&c, "  password %q;\n", s.password)
		}
		c.WriteString("  ipv4 { import none; export all; next hop self; };\n}\n")
	}
	return c.String()
}
