{{/* Prefix of every object's name. */}}
{{- define "belfry.fullname" -}}
{{- if contains "belfry" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-belfry" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change. The speaker finds its Pods by name and component. Called with (list . "component"). */}}
{{- define "belfry.selector" -}}
app.kubernetes.io/name: belfry
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "belfry.labels" -}}
{{ include "belfry.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "belfry.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Flags that both programs take. Each listens on TCP ports of its own. */}}
{{- define "belfry.flags" -}}
{{- $taken := dict -}}
{{- range $name := list "metrics" "health" "pprof" -}}
{{- $port := index $.Values.ports $name | int -}}
{{- with get $taken (toString $port) -}}
{{- fail (printf "ports.%s and ports.%s are both %d: give each a port of its own" . $name $port) -}}
{{- end -}}
{{- $taken = set $taken (toString $port) $name -}}
{{- end -}}
- --namespace=$(POD_NAMESPACE)
- --load-balancer-class={{ .Values.loadBalancerClass }}
- --handle-unclassed={{ .Values.handleUnclassed }}
- --service-finalizer={{ .Values.serviceFinalizer }}
- --exclude-lb-label={{ .Values.excludeLBLabel }}
- --drain-on-cordon={{ .Values.drainOnCordon }}
- --metrics-address=:{{ .Values.ports.metrics }}
{{- if .Values.metrics.secure }}
- --metrics-secure
{{- end }}
{{- with .Values.ports.pprof }}
- --pprof-address=127.0.0.1:{{ . }}
{{- end }}
- --log-format={{ .Values.logFormat }}
{{- end -}}

{{/*
quickstart.addresses as the controller takes them, joined by commas. What cannot be meant fails here, in words; the
controller checks the rest.
*/}}
{{- define "belfry.quickstart" -}}
{{- $all := .Values.quickstart.addresses -}}
{{- if kindIs "string" $all }}{{ $all = splitList "," $all }}{{ end -}}
{{- $four := "((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])[.]){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $six := "[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}" -}}
{{- $clean := list -}}
{{- range $all -}}
{{- $entry := nospace . -}}
{{- if $entry -}}
{{- if not (or (regexMatch (printf "^%s(/(3[0-2]|[12]?[0-9])|-%s)?$" $four $four) $entry) (regexMatch (printf "^%s(/(12[0-8]|1[01][0-9]|[1-9]?[0-9])|-%s)?$" $six $six) $entry)) -}}
{{- fail (printf "quickstart.addresses: %q is no address, no CIDR and no range: write 192.168.1.240-192.168.1.250, 192.168.1.240/28 or 192.168.1.240" .) -}}
{{- end -}}
{{- if regexMatch (printf "^%s-%s$" $four $four) $entry -}}
{{- $ends := list -}}
{{- range splitList "-" $entry -}}
{{- $n := 0 -}}
{{- range splitList "." . }}{{ $n = add (mul $n 256) (atoi .) }}{{ end -}}
{{- $ends = append $ends $n -}}
{{- end -}}
{{- if gt (first $ends) (last $ends) -}}
{{- fail (printf "quickstart.addresses: %q ends before it begins" .) -}}
{{- end -}}
{{- end -}}
{{- if regexMatch (printf "^%s/[0-9]+$" $four) $entry -}}
{{- $n := 0 -}}
{{- range splitList "." (first (splitList "/" $entry)) }}{{ $n = add (mul $n 256) (atoi .) }}{{ end -}}
{{- $size := 1 -}}
{{- range until (int (sub 32 (atoi (last (splitList "/" $entry))))) }}{{ $size = mul $size 2 }}{{ end -}}
{{- if mod $n $size -}}
{{- fail (printf "quickstart.addresses: %q has host bits: its address is within the network, not its first" .) -}}
{{- end -}}
{{- end -}}
{{- range regexFindAll $six $entry -1 -}}
{{- $gaps := len (regexFindAll "::" . -1) -}}
{{- $colons := len (regexFindAll ":" . -1) -}}
{{- if or (contains ":::" .) (gt $gaps 1) (and (eq $gaps 0) (ne $colons 7)) -}}
{{- fail (printf "quickstart.addresses: %q is no IPv6 address" .) -}}
{{- end -}}
{{- end -}}
{{- $clean = append $clean $entry -}}
{{- end -}}
{{- end -}}
{{- join "," $clean -}}
{{- end -}}

{{/* How the API server names a service account. Called with (list . "component"). */}}
{{- define "belfry.username" -}}
{{- $root := index . 0 -}}
system:serviceaccount:{{ $root.Release.Namespace }}:{{ include "belfry.fullname" $root }}-{{ index . 1 }}
{{- end -}}

{{/* What a program may ask the API server where that says who may read its metrics. */}}
{{- define "belfry.reviews" -}}
{{- if .Values.metrics.secure }}
# Who reads metrics, and whether they may.
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end }}
{{- end -}}

{{/* How Prometheus reads metrics: the end of an endpoint of a ServiceMonitor or, in plain HTTP, a PodMonitor. */}}
{{- define "belfry.scrape" -}}
port: metrics
path: /metrics
{{- if .Values.metrics.secure }}
scheme: https
# Each program makes its certificate at the start.
tlsConfig: {insecureSkipVerify: true}
bearerTokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
{{- end }}
{{- end -}}

{{/* Annotations of what `helm test` makes, and takes away again. Called with the weight. */}}
{{- define "belfry.test" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Every series says which node it is from. */}}
{{- define "belfry.scrapeNode" -}}
relabelings:
- {sourceLabels: [__meta_kubernetes_pod_node_name], targetLabel: node}
{{- end -}}
