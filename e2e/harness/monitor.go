package harness

import (
	"os/exec"
	"strings"
)

// Monitor takes down what a command writes that ends only when it is told to.
type Monitor struct {
	cmd *exec.Cmd
	out strings.Builder
}

// StartMonitor starts the command. Stop must be called.
func StartMonitor(cmd *exec.Cmd) (*Monitor, error) {
	m := &Monitor{cmd: cmd}
	cmd.Stdout = &m.out
	return m, cmd.Start()
}

// Stop ends the command, and returns what it has written. It may be called again.
func (m *Monitor) Stop() string {
	_ = m.cmd.Process.Kill() // fails if it has ended
	_ = m.cmd.Wait()         // it was killed
	return m.out.String()
}
