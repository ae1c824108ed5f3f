//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "lab: the lab is made of Linux namespaces: run this on Linux, for example in a virtual machine")
	os.Exit(1)
}
