package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/belfry-lb/belfry/api/v1beta1"
	"github.com/belfry-lb/belfry/internal/kube"
	"github.com/belfry-lb/belfry/internal/selftest"
)

// newSelftest is what `helm test` runs in a Pod of its own, which also stands behind the Service.
func newSelftest() *cobra.Command {
	var kubeconfig, pod, uid string
	o := selftest.Options{Class: v1beta1.DefaultLoadBalancerClass}
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Make a Service, see it get an address and be announced, and delete it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			log, err := kube.DefaultLog().New(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			ctrl.SetLogger(log)
			if o.Namespace, err = kube.OwnNamespace(o.Namespace); err != nil {
				return err
			}
			if pod != "" && uid != "" {
				o.Owner = metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: pod, UID: types.UID(uid)}
			}
			cfg, err := restConfig(kubeconfig)
			if err != nil {
				return err
			}
			scheme, err := kube.NewScheme()
			if err != nil {
				return err
			}
			c, err := client.New(cfg, client.Options{Scheme: scheme})
			if err != nil {
				return err
			}
			return selftest.Run(cmd.Context(), c, cmd.OutOrStdout(), o)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig to use outside of a cluster; empty: KUBECONFIG, then the pod's service account")
	fs.StringVar(&o.Namespace, "namespace", "", "namespace of the Service; empty: POD_NAMESPACE, then the service account's")
	fs.StringToStringVar(&o.Selector, "selector", nil, "labels of the Pods behind the Service; one must be ready")
	fs.StringVar(&o.Class, "load-balancer-class", o.Class, "spec.loadBalancerClass of the Service; empty: none")
	fs.DurationVar(&o.Wait, "wait", 30*time.Second, "give up after so long")
	fs.StringVar(&pod, "pod-name", os.Getenv("POD_NAME"), "the Pod that this runs in, with which the Service goes; default: POD_NAME")
	fs.StringVar(&uid, "pod-uid", os.Getenv("POD_UID"), "its UID; default: POD_UID")
	return cmd
}
