package explain

import (
	"time"

	"github.com/belfry-lb/belfry/internal/spec"
)

// Cluster is the facts, and what else of a cluster can hinder Belfry. What could not be read is nil or not Known.
type Cluster struct {
	Facts
	System    string            // Belfry's namespace
	Labels    map[string]string // of that namespace; nil: it could not be read
	Workloads []Workload        // Deployments and DaemonSets of all namespaces
	Proxy     Proxy
	Speakers  DaemonSet
	CRDs      []CRD
	Clocks    []Clock
	Writers   []Writer
	Plugin    string // version of the plugin
	Program   string // version of the controller, the tag of its image
	Unread    []string
}

// Workload is a Deployment or DaemonSet.
type Workload struct {
	Kind, Namespace, Name string
	Images                []string
}

// Proxy is how kube-proxy is configured.
type Proxy struct {
	Known     bool // its ConfigMap was found
	Mode      string
	StrictARP bool
}

// DaemonSet counts the speakers.
type DaemonSet struct {
	Known         bool
	Wanted, Ready int32
	Message       string // why Pods cannot be made
}

// CRD is one of our kinds as the API server knows it.
type CRD struct {
	Name    string
	Found   bool
	Missing []string // fields that this version of the plugin knows and the CRD does not
}

// Clock is when a node last renewed its Lease, by its own clock, and what the API server's clock said then or later.
type Clock struct {
	Node    string
	Renewed time.Time
	Server  time.Time
	Every   time.Duration // how often a healthy node renews
}

// Writer is somebody who has written addresses into the status of a Service of ours.
type Writer struct {
	Service string
	Manager string
}

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Problem Severity = "problem" // something does not work, or will not
	Warning Severity = "warning" // something may not work
)

// Finding is what a check has found.
type Finding struct {
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Do       string   `json:"do"`
}

// Check is a rule and what it has found.
type Check struct {
	Name     string    `json:"name"`
	Findings []Finding `json:"findings"`
}

// rule looks at a cluster for one thing.
type rule struct {
	name string
	find func(*diagnosis) []Finding
}

// diagnosis is a cluster with what follows from it.
type diagnosis struct {
	Cluster
	snapshot *spec.Snapshot
	problems []spec.Problem
}

// Examine applies every rule.
func Examine(c Cluster) []Check {
	d := &diagnosis{Cluster: c}
	d.snapshot, d.problems = spec.Parse(c.Objects)
	var out []Check
	for _, r := range rules() {
		findings := r.find(d)
		if findings == nil {
			findings = []Finding{}
		}
		out = append(out, Check{r.name, findings})
	}
	return out
}

// Unwell tells whether there is a problem among what was found.
func Unwell(checks []Check) bool {
	for _, c := range checks {
		for _, f := range c.Findings {
			if f.Severity == Problem {
				return true
			}
		}
	}
	return false
}

// rules are in the order in which somebody would look.
func rules() []rule {
	return []rule{
		{"kinds are installed and as new as the plugin", crds},
		{"controller runs", controllerRuns},
		{"speakers run on all nodes", speakersRun},
		{"namespace lets the speakers run", podSecurity},
		{"versions fit together", versions},
		{"speakers reach one another", members},
		{"clocks agree", clocks},
		{"there are pools and advertisements", configured},
		{"objects are valid", objectsValid},
		{"pools hold no address of the cluster", poolsHoldNodes},
		{"it is known what the cluster uses itself", clusterKnown},
		{"nodes may announce", nodesExcluded},
		{"interfaces are up", interfacesUp},
		{"no other host has an address of ours", conflicts},
		{"routers have sessions with the nodes", sessionsUp},
		{"kube-proxy is healthy", dataplane},
		{"kube-proxy answers no ARP of its own", strictARP},
		{"something carries the packets", carriesPackets},
		{"k3s ServiceLB is off", serviceLB},
		{"nobody else gives addresses to our Services", otherControllers},
		{"nobody else writes our Services' status", otherWriters},
	}
}
