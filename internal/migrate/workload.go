package migrate

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// workload reads the flags of MetalLB's controller and speaker.
func workload(s source) {
	containers, _, _ := unstructured.NestedSlice(s.Object, "spec", "template", "spec", "containers")
	for _, c := range objects(containers) {
		if !strings.Contains(text(c["image"]), "metallb/") {
			continue
		}
		for _, arg := range texts(c["args"]) {
			s.flag(strings.TrimLeft(arg, "-"))
		}
	}
}

func (s source) flag(arg string) {
	name, v, given := strings.Cut(arg, "=")
	switch {
	case name == "lb-class" && v != "":
		s.value("loadBalancerClass", v)
		s.value("handleUnclassed", false)
		s.say(Rewritten, "--lb-class", "is the chart's loadBalancerClass, and handleUnclassed: false; the class of a Service cannot be changed")
	case name == "ignore-exclude-lb" && (!given || v == "true"):
		s.value("excludeLBLabel", "ignore")
		s.say(Rewritten, "--ignore-exclude-lb", "is the chart's excludeLBLabel: ignore")
	}
}
