#!/bin/sh
# Runs every fuzz target of the module, or of one folder, for some time or number of inputs each, one after the other.
# Usage: fuzz.sh TIME|COUNTx [DIR]
set -eu

time=$1
grep -rl --include='*_test.go' '^func Fuzz' "${2:-.}" | sort | while read -r file; do
	dir=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file" | while read -r target; do
		echo "== $dir $target, $time"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "$dir" </dev/null
	done
done
