package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// membersPort is the one on which MetalLB's speakers find each other, unless they are told otherwise.
const membersPort = 7946

// chartKind stands for the values of MetalLB's chart among the objects that From reads.
const chartKind = "metallb.io/ChartValues"

// ChartValues makes an object for From out of files with values of MetalLB's chart. As with helm, later ones win.
func ChartValues(files ...string) (*unstructured.Unstructured, error) {
	all := map[string]any{}
	for i, text := range files {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			return nil, fmt.Errorf("values file %d is no YAML object: %w", i+1, err)
		}
		merge(all, values)
	}
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "metallb.io/values", "kind": "ChartValues", "spec": all}}
	o.SetName("of MetalLB")
	return o, nil
}

func merge(into, from map[string]any) {
	for k, v := range from {
		deep, is := v.(map[string]any)
		if have, too := into[k].(map[string]any); is && too {
			merge(have, deep)
			continue
		}
		into[k] = v
	}
}

// chart reads the values of MetalLB's chart, from the time of configInline to the present one.
func chart(s source) {
	s.walk("", s.spec())
}

// walk reads what it knows of a map of values, and names all else that says something.
func (s source) walk(prefix string, values map[string]any) {
	rules := chartRules()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path, v := prefix+key, values[key]
		rule, known := rules[path]
		deep, isMap := v.(map[string]any)
		switch {
		case known:
			rule(s, path, v)
		case packaging(path) || unset(v):
		case isMap:
			s.walk(path+".", deep)
		default:
			s.say(Lost, path, "has no counterpart")
		}
	}
}

// unset tells whether a value says nothing.
func unset(v any) bool {
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid():
		return true
	case r.Kind() == reflect.Map || r.Kind() == reflect.Slice:
		return r.Len() == 0
	}
	return r.IsZero()
}

// packaging tells whether a value is about MetalLB's own Pods and nothing else: images, probes, accounts.
func packaging(path string) bool {
	_, rest, _ := strings.Cut(path, ".")
	names := []string{
		"image", "strategy", "updateStrategy", "serviceAccount", "securityContext", "livenessProbe", "readinessProbe", "startupProbe", "command",
		"resources", "reloader", "frrMetrics", "initContainers", "enabled", "runtimeClassName", "frr", "priorityClassName",
	}
	if strings.HasPrefix(path, "controller.") || strings.HasPrefix(path, "speaker.") {
		return slices.Contains(names, rest)
	}
	return slices.Contains([]string{
		"rbac", "psp", "nameOverride", "fullnameOverride", "imagePullSecrets", "prometheus.rbacPrometheus", "prometheus.rbacProxy",
		"prometheus.serviceAccount", "prometheus.namespace", "prometheus.podMonitor.jobLabel", "prometheus.serviceMonitor.jobLabel",
		"prometheus.serviceMonitor.speaker.tlsConfig", "prometheus.serviceMonitor.controller.tlsConfig", "crds", "validationFailurePolicy", "networkpolicies.apiPort",
	}, path)
}

type chartRule = func(s source, path string, v any)

// chartRules say what becomes of single values.
func chartRules() map[string]chartRule {
	to := func(path string) chartRule { return func(s source, _ string, v any) { s.valueUnlessUnset(path, v) } }
	same := func(s source, path string, v any) { s.valueUnlessUnset(path, v) }
	rules := map[string]chartRule{
		"configInline":                          chartConfig,
		"existingConfigMap":                     told(Changed, "name the ConfigMap as well, with -f"),
		"loadBalancerClass":                     func(s source, path string, v any) { s.class(path, text(v)) },
		"controller.labels":                     to("controller.podLabels"),
		"speaker.labels":                        to("speaker.podLabels"),
		"controller.logLevel":                   logLevel,
		"speaker.logLevel":                      logLevel,
		"controller.webhookMode":                func(source, string, any) {}, // there is no webhook
		"speaker.ignoreExcludeLB":               ignoreExclude,
		"speaker.tolerateMaster":                unlessTrue(Changed, "Belfry's speakers tolerate every taint; speaker.tolerations of its chart says otherwise"),
		"speaker.tolerations":                   told(Rewritten, "Belfry's speakers tolerate every taint"),
		"speaker.memberlist.enabled":            unlessTrue(Changed, "Belfry's speakers always find each other, on port 7947 (TCP and UDP) of their nodes"),
		"speaker.memberlist.mlBindPort":         unlessPort,
		"speaker.memberlist.mlBindAddrOverride": told(Changed, "the address is Belfry's speaker.membersBind, with a port of its own"),
		"speaker.memberlist.mlSecretKeyPath":    func(source, string, any) {}, // where MetalLB mounts its key
		"speaker.secretName":                    told(Rewritten, "Belfry's controller makes the speakers' key; MetalLB's Secret is not used"),
		"speaker.secretValue":                   told(Rewritten, "Belfry's controller makes the speakers' key; MetalLB's is not used"),
		"speaker.excludeInterfaces.enabled":     unlessTrue(Changed, "interfaces of pods and CNIs are left out, unless speaker.excludeInterfaces of Belfry's chart names others"),
		"frrk8s.enabled":                        told(Rewritten, "Belfry speaks BGP itself, without frr-k8s"),
		"frrk8s.external":                       told(Changed, "Belfry speaks BGP itself; the frr-k8s of others stays, and its sessions are not taken over"),
		"prometheus.scrapeAnnotations":          told(Changed, "Belfry's metrics are on port 7980: annotate with controller.podAnnotations and speaker.podAnnotations, or have a PodMonitor"),
		"prometheus.metricsPort":                told(Changed, "Belfry's metrics are on port 7980; while both run on a node their ports must differ"),
		"prometheus.secureMetricsPort":          told(Changed, "Belfry serves metrics over TLS with metrics.secure, which goes with a ServiceMonitor and not with a PodMonitor"),
		"networkpolicies.enabled":               to("networkPolicy.enabled"),
	}
	for _, program := range []string{"controller.", "speaker."} {
		for _, name := range []string{"nodeSelector", "affinity", "podAnnotations"} {
			rules[program+name] = same
		}
	}
	rules["controller.tolerations"] = same
	for _, monitor := range []string{"podMonitor", "serviceMonitor", "prometheusRule"} {
		rules["prometheus."+monitor+".enabled"] = to("metrics." + monitor + ".enabled")
		rules["prometheus."+monitor+".interval"] = to("metrics." + monitor + ".interval")
		rules["prometheus."+monitor+".additionalLabels"] = to("metrics." + monitor + ".labels")
	}
	for _, alert := range []string{"staleConfig", "configNotLoaded", "addressPoolExhausted", "addressPoolUsage", "bgpSessionDown"} {
		rules["prometheus.prometheusRule."+alert] = func(source, string, any) {} // Belfry has alerts of its own
	}
	return rules
}

// told notes a value that is set.
func told(level Level, what string) chartRule {
	return func(s source, path string, v any) {
		if !unset(v) {
			s.say(level, path, "%s", what)
		}
	}
}

func unlessTrue(level Level, what string) chartRule {
	return func(s source, path string, v any) {
		if on, is := v.(bool); is && !on {
			s.say(level, path, "%s", what)
		}
	}
}

func unlessPort(s source, path string, v any) {
	if n := integer(v); n != 0 && n != membersPort {
		s.say(Changed, path, "Belfry's speakers talk on port 7947 (TCP and UDP) of their nodes; speaker.membersBind of its chart says otherwise")
	}
}

func chartConfig(s source, path string, v any) {
	if unset(v) {
		return
	}
	config, err := yaml.Marshal(v)
	if err != nil {
		s.say(Unreadable, path, "no YAML: %v", err)
		return
	}
	s.legacy(path, string(config))
}

func (s source) class(path, class string) {
	if class == "" {
		return
	}
	s.value("loadBalancerClass", class)
	s.value("handleUnclassed", false)
	s.say(Rewritten, path, "is the chart's loadBalancerClass, and handleUnclassed: false; the class of a Service cannot be changed")
}

func ignoreExclude(s source, path string, v any) {
	if on, is := v.(bool); is && on {
		s.value("excludeLBLabel", "ignore")
		s.say(Rewritten, path, "is the chart's excludeLBLabel: ignore")
	}
}

func logLevel(s source, path string, v any) {
	switch text(v) {
	case "all", "debug":
		s.value(path, "debug")
	case "warn", "error", "none":
		s.value(path, "error")
	}
}

func (s source) valueUnlessUnset(path string, v any) {
	if !unset(v) {
		s.value(path, v)
	}
}

// Flag returns a value as helm's command line takes it.
func Flag(path string, v any) string {
	switch v.(type) {
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err == nil {
			return fmt.Sprintf("--set-json '%s=%s'", path, strings.ReplaceAll(string(b), "'", `'\''`))
		}
	}
	return fmt.Sprintf("--set %s=%v", path, v)
}
