package main

import (
	"os"
	"runtime/debug"
)

// saving is how much garbage there may be for what is in use, in percent. Go's own default is 100; these programs have more
// time than memory to spare, one of them on every node.
const saving = 50

// saveMemory has garbage collected sooner than Go would, unless GOGC in the environment says when.
func saveMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(saving)
	}
}
