#!/bin/sh
# Checks what the linter, which looks at the packages of the main module, does not see: the main go.mod must be tidy, and
# what compiles in a nested module must pass vet. Usage: vet-modules.sh
set -eu

echo "== module .: tidy"
go mod tidy -diff
find . -mindepth 2 -name go.mod -not -path './bin/*' | sort | while read -r mod; do
	dir=$(dirname "$mod")
	if [ -z "$(go -C "$dir" list ./... 2>/dev/null)" ]; then
		echo "== module $dir: pins versions, has no package"
		continue
	fi
	echo "== module $dir: vet"
	go -C "$dir" vet ./...
done
