//go:build linux

// Command lab brings the project's own Kubernetes up on this machine, and down again; see package cluster for what it is made of.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := command().ExecuteContext(ctx)
	stop()
	if status, ok := errors.AsType[statusError](err); ok {
		os.Exit(int(status))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
}

// statusError is the exit status of a command that was run on a host, and becomes ours. The command has said itself what was wrong.
type statusError int

func (s statusError) Error() string { return "exit status " + strconv.Itoa(int(s)) }

func command() *cobra.Command {
	var name string
	root := &cobra.Command{
		Use: "lab", Short: "A real Kubernetes of several nodes on this machine", SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&name, "name", cluster.DefaultName, "name of the lab")
	root.AddCommand(up(&name), down(&name), status(&name), kubeconfig(&name), loadImage(&name), execute(&name), binaries(), webImage(), preflight(),
		onNode(&name, "kill-node", "Cut the node's power: cable out, everything on it dead at once", (*cluster.Cluster).KillNode),
		onNode(&name, "stop-node", "Shut the node down: SIGTERM inside, then off", (*cluster.Cluster).StopNode),
		onNode(&name, "start-node", "Switch the node on and wait until it is Ready", (*cluster.Cluster).StartNode),
		onNode(&name, "cut-link", "Pull the node's network cable; all on it goes on running", (*cluster.Cluster).CutLink),
		onNode(&name, "restore-link", "Plug the node's network cable in", (*cluster.Cluster).RestoreLink),
	)
	return root
}

func up(name *string) *cobra.Command {
	var o cluster.Options
	c := &cobra.Command{Use: "up", Short: "Start a lab that runs until `down`", Args: cobra.NoArgs}
	c.Flags().IntVar(&o.Nodes, "nodes", 3, "number of nodes")
	c.Flags().IntVar(&o.Clients, "clients", 1, "number of hosts on the LAN outside the cluster")
	c.Flags().IntVar(&o.Routers, "routers", 0, "number of hosts on the LAN that forward packets")
	c.Flags().StringVar(&o.Version, "version", "", "Kubernetes version (default $K8S_VERSION or "+cluster.DefaultVersion+")")
	c.Flags().StringVar(&o.StateDir, "state-dir", "", "directory of all that the lab writes (default in the user's cache)")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Name, o.Detached, o.Log = *name, true, cmd.ErrOrStderr()
		lab, err := cluster.Open(*name)
		if errors.Is(err, cluster.ErrNotRunning) {
			lab, err = cluster.Start(cmd.Context(), o)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up: export KUBECONFIG=%s\n", *name, lab.Kubeconfig())
		return nil
	}
	return c
}

func down(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "End the lab and remove all that it left on this machine", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cluster.Remove(cmd.Context(), *name); err != nil && !errors.Is(err, cluster.ErrNotRunning) {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", *name)
			return nil
		},
	}
}

func status(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what runs, and under which addresses", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "lab %s: LAN %s and %s, state in %s\n", lab.Name(), lab.LAN4(), lab.LAN6(), lab.StateDir())
			for i, h := range lab.Nodes() {
				power := "off"
				if lab.Running(i + 1) {
					power = "on"
				}
				fmt.Fprintf(out, "  %-4s %-15s %-22s node, %s\n", h.Name(), h.V4(), h.V6(), power)
			}
			for _, h := range lab.Clients() {
				fmt.Fprintf(out, "  %-4s %-15s %-22s client\n", h.Name(), h.V4(), h.V6())
			}
			for _, r := range lab.Routers() {
				fmt.Fprintf(out, "  %-4s %-15s %-22s router\n", r.Name(), r.V4(), r.V6())
			}
			return nil
		},
	}
}

func kubeconfig(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "kubeconfig", Short: "Print the path of the lab's kubeconfig", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), lab.Kubeconfig())
			return nil
		},
	}
}

func loadImage(name *string) *cobra.Command {
	return &cobra.Command{
		Use: "load-image TAR", Short: "Load an image archive (OCI or docker) into all nodes", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			return lab.LoadImage(cmd.Context(), args[0])
		},
	}
}

func execute(name *string) *cobra.Command {
	return &cobra.Command{
		Use:   "exec HOST -- COMMAND…",
		Short: "Run a command on a host: in all namespaces of a running node, in the network namespace of any other",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			run, err := lab.Shell(cmd.Context(), args[0], args[1:]...)
			if err != nil {
				return err
			}
			run.Stdin, run.Stdout, run.Stderr = os.Stdin, os.Stdout, os.Stderr
			err = run.Run()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				return statusError(exit.ExitCode())
			}
			return err
		},
	}
}

func binaries() *cobra.Command {
	var version string
	c := &cobra.Command{
		Use: "binaries", Short: "Build kube-apiserver, etcd, kubectl, … if need be and print their directory", Args: cobra.NoArgs,
	}
	c.Flags().StringVar(&version, "version", "", "Kubernetes version (default $K8S_VERSION or "+cluster.DefaultVersion+")")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := cluster.BuildBinaries(cmd.Context(), version, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		fmt.Fprintln(cmd.OutOrStdout(), b.Dir)
		return nil
	}
	return c
}

func webImage() *cobra.Command {
	return &cobra.Command{
		Use: "web-image", Short: "Build the demo's web server as " + cluster.WebImage + " and print the path of the tar", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			tar, err := cluster.BuildWebImage(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), tar)
			return nil
		},
	}
}

func preflight() *cobra.Command {
	return &cobra.Command{
		Use: "preflight [TOOL…]", Short: "Say in one line what this machine lacks for a lab",
		RunE: func(_ *cobra.Command, tools []string) error { return cluster.Preflight(tools...) },
	}
}

func onNode(name *string, use, short string, do func(*cluster.Cluster, context.Context, int) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " NODE", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := cluster.Open(*name)
			if err != nil {
				return err
			}
			n, err := strconv.Atoi(args[0]) // 2 or n2
			if err != nil {
				if n, err = lab.NodeByName(args[0]); err != nil {
					return err
				}
			}
			return do(lab, cmd.Context(), n)
		},
	}
}
