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

{{/* Flags that both programs take. */}}
{{- define "belfry.flags" -}}
- --namespace=$(POD_NAMESPACE)
- --load-balancer-class={{ .Values.loadBalancerClass }}
- --handle-unclassed={{ .Values.handleUnclassed }}
- --service-finalizer={{ .Values.serviceFinalizer }}
- --exclude-lb-label={{ .Values.excludeLBLabel }}
- --drain-on-cordon={{ .Values.drainOnCordon }}
- --metrics-address=:{{ .Values.ports.metrics }}
- --log-format={{ .Values.logFormat }}
{{- end -}}

{{/* How the API server names a service account. Called with (list . "component"). */}}
{{- define "belfry.username" -}}
{{- $root := index . 0 -}}
system:serviceaccount:{{ $root.Release.Namespace }}:{{ include "belfry.fullname" $root }}-{{ index . 1 }}
{{- end -}}
