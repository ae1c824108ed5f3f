package kube

import (
	"github.com/spf13/pflag"

	"github.com/belfry-lb/belfry/internal/spec"
)

// AddNodeFlags puts --exclude-lb-label and --drain-on-cordon into fs; what r holds now are the defaults. The controller and
// the speaker must be given the same ones.
func AddNodeFlags(fs *pflag.FlagSet, r *spec.NodeRules) {
	fs.Var(&r.Exclude, "exclude-lb-label",
		"what the label node.kubernetes.io/exclude-from-external-load-balancers means: honour (nodes with it announce nothing), ignore, or auto (honoured, unless every ready node has it)")
	fs.BoolVar(&r.DrainOnCordon, "drain-on-cordon", r.DrainOnCordon, "a cordoned node announces nothing")
}
