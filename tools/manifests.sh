#!/bin/sh
# Renders the chart with its defaults into config/ and builds config/install.yaml of it.
# Usage: manifests.sh HELM KUSTOMIZE CONFIG
set -eu

helm=$1 kustomize=$2 config=$3
"$helm" template belfry charts/belfry --namespace belfry-system --kube-version 1.31.0 --set metrics.podMonitor.enabled=true \
	--set metrics.prometheusRule.enabled=true --set metrics.dashboard.enabled=true |
	go run -C tools ./manifests "$config"
{
	echo "# Generated from charts/belfry by make generate. kubectl apply --server-side -f config/install.yaml"
	"$kustomize" build "$config/default"
} >"$config/install.yaml"
