package bfd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// holder is who had a port when it was looked up last: going through all processes takes too long to be done at every try.
type holder struct {
	inodes string
	name   string
}

// of names who holds a scope's port, as far as /proc lets this process see it.
func (h *holder) of(s Scope) string {
	table := "/proc/thread-self/net/udp"
	if s.IPv6 {
		table += "6"
	}
	text, err := os.ReadFile(table)
	if err != nil {
		return "another program"
	}
	inodes := inodesOf(string(text), s.Port())
	if key := strings.Join(inodes, " "); h.inodes != key || h.name == "" {
		*h = holder{key, "another program, which cannot be seen from here"}
		for _, inode := range inodes {
			if name := ownerOf("socket:[" + inode + "]"); name != "" {
				h.name = name
				break
			}
		}
	}
	return h.name
}

// inodesOf returns the inodes of the sockets in /proc/net/udp that are bound to a port.
func inodesOf(table string, port uint16) []string {
	var found []string
	suffix := fmt.Sprintf(":%04X", port)
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], suffix) {
			found = append(found, f[9])
		}
	}
	return found
}

// ownerOf returns "name (process id)" of a process that has a socket open.
func ownerOf(socket string) string {
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != socket {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		name, _ := os.ReadFile(filepath.Join(process, "comm")) //nolint:gosec // below /proc
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), filepath.Base(process))
	}
	return ""
}
