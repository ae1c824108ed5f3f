package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/spec"
	"github.com/belfry-lb/belfry/speaker"
	"github.com/belfry-lb/belfry/speaker/l2"
	"github.com/belfry-lb/belfry/speaker/liveness"
	"github.com/belfry-lb/belfry/speaker/members"
)

// speakerFlags is what `belfry speaker` can be told.
type speakerFlags struct {
	node, namespace         string
	membersBind             string
	snapshotDir             string
	failover                string
	livenessPort            uint16
	restartWindow           time.Duration
	onRestart               string
	exclude                 []string
	metricsAddr, healthAddr string
	pprofAddr               string
	kubeconfig              string
	serviceFinalizer        bool
	bgp                     speaker.BGPOptions
	proxyHealth             string
	metricsSecure           bool
	classes                 kube.Classes
	nodeRules               spec.NodeRules
	log                     kube.Log
}

func newSpeaker() *cobra.Command {
	f := speakerFlags{classes: kube.DefaultClasses(), log: kube.DefaultLog(), bgp: speaker.DefaultBGPOptions()}
	c := &cobra.Command{
		Use:   "speaker",
		Short: "Announce the addresses of Services from this node",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return f.run(c.Context(), c.ErrOrStderr()) },
	}
	f.add(c.Flags())
	return c
}

func (f *speakerFlags) add(fs *pflag.FlagSet) {
	f.classes.AddFlags(fs)
	kube.AddNodeFlags(fs, &f.nodeRules)
	f.log.AddFlags(fs)
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig to use outside of a cluster; empty: KUBECONFIG, then the pod's service account")
	fs.StringVar(&f.node, "node-name", os.Getenv("NODE_NAME"), "name of the Node this speaker runs on; default: NODE_NAME")
	fs.StringVar(&f.namespace, "namespace", "", "namespace of the speaker Pods and of the gossip key; empty: POD_NAMESPACE, then the service account's")
	fs.StringVar(&f.membersBind, "members-bind", os.Getenv("POD_IP"), "address of this node, IPv4 or IPv6, on which the speakers talk to each other, with or without a port (7947, TCP and UDP); default: POD_IP")
	fs.StringVar(&f.snapshotDir, "snapshot-dir", "", "keep what is known here, for a restart while the API server is away; it holds secrets: use memory (tmpfs); empty: nowhere")
	fs.StringVar(&f.failover, "failover", string(members.ProfileDefault), "how soon a dead node is noticed: fast, default or relaxed")
	fs.Uint16Var(&f.livenessPort, "liveness-port", liveness.DefaultPort, "port (UDP) on which the speakers probe each other, the same on all nodes")
	fs.DurationVar(&f.restartWindow, "restart-window", speaker.RestartWindow, "addresses wait so long for a speaker that restarts while another node answers in its stead")
	fs.StringVar(&f.onRestart, "on-restart", string(speaker.StandIn), "what becomes of the addresses when the speaker restarts: stand-in (nothing moves) or handover (they move to other nodes)")
	fs.StringSliceVar(&f.exclude, "exclude-interfaces", l2.DefaultExclude(), "names or globs of interfaces never to announce on, in place of the default ones, which lead to pods, CNIs and tunnels: repeat those that are still meant")
	fs.StringVar(&f.proxyHealth, "proxy-health", speaker.DefaultProxyHealth, `ask kube-proxy here, host:port, how it is: a node whose kube-proxy says unhealthy acquires nothing; "0": do not ask`)
	fs.BoolVar(&f.serviceFinalizer, "service-finalizer", false, "tell about which Services that are being deleted this speaker is silent; set it as the controller's")
	fs.DurationVar(&f.bgp.WithdrawDelay, "bgp-withdraw-delay", f.bgp.WithdrawDelay, "how long a route of a Service with externalTrafficPolicy: Local outlives its last pod on this node")
	fs.DurationVar(&f.bgp.DrainTime, "bgp-drain-time", f.bgp.DrainTime, "how long routes are announced as about to go (GRACEFUL_SHUTDOWN) before a draining or stopping node withdraws them")
	fs.StringVar(&f.metricsAddr, "metrics-address", ":7980", `serve /metrics here; "0": nowhere`)
	fs.BoolVar(&f.metricsSecure, "metrics-secure", false, "serve /metrics over TLS, to those whom the API server lets get that path")
	fs.StringVar(&f.pprofAddr, "pprof-address", "0", `serve /debug/pprof here, to everybody; "0": nowhere`)
	fs.StringVar(&f.healthAddr, "health-address", "127.0.0.1:7981", `serve /healthz and /readyz here; "0": nowhere`)
}

func (f *speakerFlags) run(ctx context.Context, logs io.Writer) error {
	saveMemory()
	log, err := f.log.New(logs)
	if err != nil {
		return err
	}
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	if f.node == "" {
		return errors.New("--node-name is needed: the name of the Node this speaker runs on")
	}
	if f.namespace, err = kube.OwnNamespace(f.namespace); err != nil {
		return err
	}
	bind, err := parseBind(f.membersBind)
	if err != nil {
		return err
	}
	if f.onRestart != string(speaker.StandIn) && f.onRestart != string(speaker.Handover) {
		return fmt.Errorf("--on-restart: %q is neither %s nor %s", f.onRestart, speaker.StandIn, speaker.Handover)
	}
	mgr, err := f.manager()
	if err != nil {
		return err
	}
	s, err := speaker.New(speaker.Options{
		Node: f.node, Namespace: f.namespace, Version: version, MembersBind: bind, Failover: members.Profile(f.failover),
		LivenessPort: f.livenessPort, SnapshotDir: f.snapshotDir, RestartWindow: f.restartWindow, OnRestart: speaker.OnRestart(f.onRestart),
		Exclude: f.exclude, NodeRules: f.nodeRules, ProxyHealth: f.proxyHealth, ServiceFinalizer: f.serviceFinalizer, BGP: f.bgp,
		Client: mgr.GetClient(), Direct: mgr.GetAPIReader(), Cache: mgr.GetCache(), Log: log, Registerer: metrics.Registry,
	})
	if err != nil {
		return err
	}
	log.Info("Starting", "version", version, "node", f.node)
	return start(ctx, mgr, s)
}

func (f *speakerFlags) manager() (manager.Manager, error) {
	scheme, err := kube.NewScheme()
	if err != nil {
		return nil, err
	}
	config, err := restConfig(f.kubeconfig)
	if err != nil {
		return nil, err
	}
	config.UserAgent = "belfry-speaker"
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Metrics:                kube.MetricsOptions(f.metricsAddr, f.metricsSecure),
		HealthProbeBindAddress: f.healthAddr,
		PprofBindAddress:       f.pprofAddr,
		Cache:                  speaker.CacheOptions(f.node, f.namespace, f.classes),
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
			return speaker.NewMapper(scheme)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("building the manager: %w", err)
	}
	return mgr, nil
}

func start(ctx context.Context, mgr manager.Manager, s *speaker.Speaker) error {
	alive := func(*http.Request) error { return s.Alive() }
	ready := func(*http.Request) error { return s.Ready() }
	if err := errors.Join(mgr.AddHealthzCheck("passes", alive), mgr.AddReadyzCheck("speaker", ready), mgr.Add(s)); err != nil {
		return fmt.Errorf("building the manager: %w", err)
	}
	return mgr.Start(ctx)
}

// parseBind reads an address with or without a port.
func parseBind(s string) (netip.AddrPort, error) {
	bind, err := netip.ParseAddrPort(s)
	if err != nil {
		var a netip.Addr
		a, err = netip.ParseAddr(s)
		bind = netip.AddrPortFrom(a, members.DefaultPort)
	}
	a := bind.Addr().Unmap()
	if err != nil || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || bind.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("--members-bind: %q is no address of this node: write 192.0.2.1, 192.0.2.1:7947 or [2001:db8::1]:7947", s)
	}
	return netip.AddrPortFrom(a, bind.Port()), nil
}
