package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/belfry-lb/belfry/controllers"
	"github.com/belfry-lb/belfry/internal/kube"
)

// controllerFlags is what `belfry controller` can be told.
type controllerFlags struct {
	controllers.Options
	log        kube.Log
	kubeconfig string
}

func (f *controllerFlags) add(fs *pflag.FlagSet) {
	f.Classes.AddFlags(fs)
	kube.AddNodeFlags(fs, &f.NodeRules)
	f.log.AddFlags(fs)
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig to use outside of a cluster; empty: KUBECONFIG, then the pod's service account")
	fs.StringVar(&f.Namespace, "namespace", "", "namespace of the Lease and the gossip key; empty: POD_NAMESPACE, then the service account's")
	fs.StringVar(&f.HealthAddress, "health-address", f.HealthAddress, `serve /healthz and /readyz here; "0": nowhere`)
	fs.StringVar(&f.MetricsAddress, "metrics-address", f.MetricsAddress, `serve /metrics here; "0": nowhere`)
	fs.BoolVar(&f.MetricsSecure, "metrics-secure", false, "serve /metrics over TLS, to those whom the API server lets get that path")
	fs.StringVar(&f.PprofAddress, "pprof-address", f.PprofAddress, `serve /debug/pprof here, to everybody; "0": nowhere`)
	fs.StringSliceVar(&f.QuickstartAddresses, "quickstart-addresses", nil, "keep a pool of these CIDRs, ranges and addresses, and an L2Advertisement of it, both named "+controllers.QuickstartName)
	fs.StringSliceVar(&f.ServiceCIDRs, "service-cidrs", nil, "CIDRs of cluster IPs, never to be handed out; ServiceCIDR objects are read too, where they are served")
	fs.StringSliceVar(&f.PodCIDRs, "pod-cidrs", nil, "CIDRs of pods, never to be handed out; spec.podCIDRs of the Nodes are read too")
	fs.BoolVar(&f.ServiceFinalizer, "service-finalizer", false, "keep a deleted Service until every speaker is silent about it; set it as the speakers'")
	fs.DurationVar(&f.FullPassEvery, "full-pass-every", f.FullPassEvery, "look at every Service this often, though nothing is known to have changed")
	fs.DurationVar(&f.Timing.Lease, "lease-duration", f.Timing.Lease, "another replica may lead when the lease was not renewed for so long; whole seconds")
	fs.DurationVar(&f.Timing.Renew, "lease-renew-deadline", f.Timing.Renew, "the leader writes nothing when it has not renewed the lease for so long")
	fs.DurationVar(&f.Timing.Retry, "lease-retry-period", f.Timing.Retry, "how often the lease is renewed, and looked at by the others")
	fs.DurationVar(&f.Timing.Write, "write-timeout", f.Timing.Write, "the API server gives up on a write after so long; less than lease duration minus renew deadline")
}

func newController() *cobra.Command {
	f := controllerFlags{Options: controllers.DefaultOptions(), log: kube.DefaultLog()}
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Assign addresses to Services; of several replicas one leads",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.add(cmd.Flags())
	return cmd
}

func (f *controllerFlags) run(cmd *cobra.Command) (err error) {
	saveMemory()
	if f.Log, err = f.log.New(cmd.ErrOrStderr()); err != nil {
		return err
	}
	ctrl.SetLogger(f.Log)
	klog.SetLogger(f.Log)
	if f.Namespace, err = kube.OwnNamespace(f.Namespace); err != nil {
		return err
	}
	cfg, err := restConfig(f.kubeconfig)
	if err != nil {
		return err
	}
	f.Registerer = ctrlmetrics.Registry
	mgr, err := controllers.New(cfg, f.Options)
	if err != nil {
		return err
	}
	f.Log.Info("starting", "version", version)
	return mgr.Start(cmd.Context())
}

// restConfig says how to reach the API server: as the flag tells, else KUBECONFIG, else as a pod does.
func restConfig(path string) (*rest.Config, error) {
	if path == "" {
		path = os.Getenv("KUBECONFIG")
	}
	find := rest.InClusterConfig
	if path != "" {
		find = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", path) }
	}
	cfg, err := find()
	if err != nil {
		return nil, fmt.Errorf("finding the API server: %w", err)
	}
	return cfg, nil
}
