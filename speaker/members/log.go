package members

import (
	"errors"
	"log"
	"strings"
	"time"

	"github.com/go-logr/logr"
)

const (
	logWindow   = time.Minute
	logPerKind  = 10  // lines of a level that is always shown; a stranger's packets make one each
	logLineSize = 300 // bytes of a line; memberlist prints whole metadata

	// noKeyFits is how memberlist reports a message encrypted with a key that
	// is not ours. There is no error value to compare with.
	noKeyFits = "no installed keys could decrypt"
)

// errOtherKey tells a person what to mend.
var errOtherKey = errors.New("a message is encrypted with another key")

type severity int

const (
	severe  severity = iota // a person must act
	notable                 // memberlist's errors: a peer that cannot be reached, mostly
	detail                  // warnings and information
	trace
	severities
)

// logWriter is the end of memberlist's own logger. log.Logger calls Write with
// its lock held, so the counters need none.
type logWriter struct {
	log   logr.Logger
	now   func() time.Time
	since time.Time
	lines [severities]int
}

// newLogger never sees a key: memberlist prints addresses, names and metadata.
func newLogger(l logr.Logger) *log.Logger {
	return log.New(&logWriter{log: l, now: time.Now}, "", 0)
}

// Write takes one line.
func (w *logWriter) Write(p []byte) (int, error) {
	if now := w.now(); now.Sub(w.since) > logWindow {
		w.reportOmitted()
		w.since, w.lines = now, [severities]int{}
	}
	level, text := parseLine(string(p))
	if w.lines[level]++; w.lines[level] <= logPerKind || level >= detail {
		w.print(level, text)
	}
	return len(p), nil
}

func (w *logWriter) print(level severity, text string) {
	const message = "membership library reports"
	switch level {
	case severe:
		w.log.Error(errOtherKey, message, "reason", text)
	case notable:
		w.log.Info(message, "reason", text)
	case detail:
		w.log.V(1).Info(message, "reason", text)
	default:
		w.log.V(2).Info(message, "reason", text)
	}
}

func (w *logWriter) reportOmitted() {
	omitted := 0
	for _, n := range w.lines[:detail] {
		omitted += max(0, n-logPerKind)
	}
	if omitted > 0 {
		w.log.Info("membership library reports were left out", "lines", omitted)
	}
}

func parseLine(line string) (severity, string) {
	text := strings.TrimSpace(line)
	level := notable
	if tag, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(tag, "[") {
		text = strings.TrimPrefix(rest, "memberlist: ")
		level = tagSeverity(tag[1:])
	}
	if strings.Contains(text, noKeyFits) {
		level = severe
	}
	if len(text) > logLineSize {
		text = strings.ToValidUTF8(text[:logLineSize], "") + "…"
	}
	return level, text
}

func tagSeverity(tag string) severity {
	switch tag {
	case "WARN", "INFO":
		return detail
	case "DEBUG":
		return trace
	}
	return notable
}
