package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// printer writes what a spectator sees.
type printer struct{ w io.Writer }

func (p *printer) title(s string) { fmt.Fprintf(p.w, "\n=== %s\n", s) }

func (p *printer) done(d time.Duration) { fmt.Fprintf(p.w, "    done in %.1f s\n", d.Seconds()) }

// say prints lines, indented.
func (p *printer) say(format string, args ...any) {
	for line := range strings.Lines(strings.TrimRight(fmt.Sprintf(format, args...), "\n") + "\n") {
		fmt.Fprint(p.w, "    ", line)
	}
}

// Write lets the lab tell how far it is.
func (p *printer) Write(b []byte) (int, error) {
	p.say("%s", b)
	return len(b), nil
}

func (p *printer) farewell(kubeconfig, kubectl string, took time.Duration) {
	fmt.Fprintf(p.w, `
Done in %.0f s. The cluster goes on running:

    export KUBECONFIG=%s
    %s get services -o wide

Take it down with

    make demo-down
`, took.Seconds(), kubeconfig, kubectl)
}
