package migrate

import (
	"strconv"
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
		env, _ := c["env"].([]any)
		for _, v := range objects(env) {
			if text(v["name"]) == "METALLB_ML_BIND_PORT" {
				s.membersPort("METALLB_ML_BIND_PORT", text(v["value"]))
			}
		}
	}
}

func (s source) flag(arg string) {
	name, v, given := strings.Cut(arg, "=")
	switch {
	case name == "lb-class":
		s.class("--lb-class", v)
	case name == "ml-bindport":
		s.membersPort("--ml-bindport", v)
	case name == "ignore-exclude-lb" && (!given || v == "true"):
		s.value("excludeLBLabel", "ignore")
		s.say(Rewritten, "--ignore-exclude-lb", "is the chart's excludeLBLabel: ignore")
	}
}

func (s source) membersPort(field, v string) {
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		unlessPort(s, field, n)
	}
}

// ConfigMapOf returns the name of the ConfigMap that a program of MetalLB before 0.13 was told to read, "" for none.
func ConfigMapOf(args []string) string {
	for _, arg := range args {
		if name, v, _ := strings.Cut(strings.TrimLeft(arg, "-"), "="); name == "config" {
			return v
		}
	}
	return ""
}
