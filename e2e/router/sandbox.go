//go:build linux

package router

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

const inSandbox = "BELFRY_SANDBOX"

// Sandbox is for TestMain: it runs the test program again in network, mount and pid namespaces of its own, where it calls f.
// There the program is root of an empty machine: nothing that it mounts, starts or configures outlives it. It reaches no
// other machine either; what it needs from there, before fetches, and says in environment variables where it is.
func Sandbox(before func() (env []string, err error), f func() int) int {
	switch os.Getenv(inSandbox) {
	case "new":
		if err := settle(); err != nil {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
			return 1
		}
		return f()
	case "settled": // the program has started itself once more, inside
		return f()
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root")
		return 1
	}
	env, err := before()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := append([]string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", os.Args[0]}, os.Args[1:]...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(append(os.Environ(), env...), inSandbox+"=new")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	signal.Ignore(os.Interrupt) // a terminal sends it to the program inside, too, and that decides
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return 0
}

// settle makes the empty machine usable.
func settle() error {
	for _, args := range [][]string{
		{"mount", "-n", "-t", "tmpfs", "tmpfs", "/run"},
		{"mount", "-n", "-t", "sysfs", "sysfs", "/sys"},
		{"ip", "link", "set", "lo", "up"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	for _, name := range []string{"all", "default"} {
		// Addresses are there at once, and no router gives us one that would be taken for a source.
		for _, key := range []string{"accept_dad", "accept_ra"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+key, []byte("0"), 0o644); err != nil {
				return err
			}
		}
	}
	return os.Setenv(inSandbox, "settled")
}
