#!/bin/sh
# Turns CRDs into chart templates that can be switched off and that outlive the release.
# Usage: chart-crds.sh FROM TO (two directories)
set -eu

from=$1 to=$2
mkdir -p "$to"
rm -f "$to"/*.yaml
for crd in "$from"/*.yaml; do
	{
		echo '{{- if .Values.crds.enabled }}'
		# A template action in a description would be executed: it is written as the text that it is.
		sed -e 's/{{/{{ "{{" }}/g' -e 's|^  annotations:$|&\n    helm.sh/resource-policy: keep|' "$crd"
		echo '{{- end }}'
	} >"$to/$(basename "$crd")"
done
