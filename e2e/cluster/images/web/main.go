// Command web is the server behind the Services of the demo and the tests. Every answer is a line that says which pod and node gave
// it, which address the client seemed to have and, behind a proxy, whom that says it answers for. Ports come from flags, or from
// environment variables of the same name in capitals:
//
//	--http 8080,8081   GET / the line; GET /stream the line every 100 ms until the client goes; GET /healthz
//	--udp 9000         the line, for each datagram
//	--echo 7000        TCP: whatever the client sends comes back
//
// web get URL fetches a page instead and prints it: the image has no shell and no curl.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	httpPorts := flag.String("http", env("HTTP", "8080"), "TCP ports for HTTP, separated by commas")
	udpPorts := flag.String("udp", env("UDP", ""), "UDP ports, separated by commas")
	echoPorts := flag.String("echo", env("ECHO", ""), "TCP ports that echo, separated by commas")
	flag.Parse()
	if flag.Arg(0) == "get" {
		exit(get(ctx, flag.Arg(1), os.Stdout))
		return
	}

	s := server{pod: env("POD_NAME", hostname()), node: env("NODE_NAME", "")}
	exit(s.run(ctx, list(*httpPorts), list(*udpPorts), list(*echoPorts)))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func env(name, fallback string) string {
	if v, ok := os.LookupEnv(name); ok {
		return v
	}
	return fallback
}

func hostname() string {
	name, _ := os.Hostname()
	return name
}

func list(ports string) []string {
	return strings.FieldsFunc(ports, func(r rune) bool { return r == ',' || r == ' ' })
}
