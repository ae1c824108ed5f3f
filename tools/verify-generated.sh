#!/bin/sh
# Generates everything anew in a temporary directory and compares it with what is there; changes nothing.
# Usage: verify-generated.sh CONTROLLER_GEN HELM KUSTOMIZE
set -eu

gen=$1 helm=$2 kustomize=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

"$gen" object paths=./api/... output:object:dir="$tmp/api"
"$gen" crd paths=./api/... output:crd:dir="$tmp/crd"
tools/chart-crds.sh "$tmp/crd" "$tmp/chart"
mkdir "$tmp/reference"
go run -C tools ./crdref "$tmp/crd" "$tmp/reference"
mkdir "$tmp/belfry"
cp charts/belfry/values.yaml charts/belfry/README.md charts/belfry/Chart.yaml "$tmp/belfry"
go run -C tools ./chartdocs "$tmp/belfry" "$tmp/crd"
cp -r config "$tmp/config"
rm -r "$tmp/config/crd/bases"
cp -r "$tmp/crd" "$tmp/config/crd/bases"
tools/manifests.sh "$helm" "$kustomize" "$tmp/config"

stale=0
diff -u api/v1beta1/zz_generated.deepcopy.go "$tmp/api/zz_generated.deepcopy.go" || stale=1
diff -ru config "$tmp/config" || stale=1
diff -u charts/belfry/README.md "$tmp/belfry/README.md" || stale=1
diff -u charts/belfry/Chart.yaml "$tmp/belfry/Chart.yaml" || stale=1
for page in "$tmp"/reference/*.md; do # the pages that are made from the code are compared by the tests in docs/
	diff -u "docs/reference/${page##*/}" "$page" || stale=1
done
diff -ru charts/belfry/templates/crds "$tmp/chart" || stale=1
if [ "$stale" = 1 ]; then
	echo "belfry: generated files are not fresh: run make generate" >&2
	exit 1
fi
