#!/bin/sh
# Says in one line what keeps the tests, or with --demo the demo, from running here. Usage: preflight.sh [--demo]
set -eu

fail() {
	echo "belfry: $*" >&2
	exit 1
}

[ "$(uname -s)" = Linux ] || fail "the tests need Linux (network namespaces, packet sockets); this is $(uname -s)"
[ "$(id -u)" -eq 0 ] || fail "the tests need root (network namespaces, packet sockets, a cluster of namespaces): run them with sudo or in a root shell"
set -- "$@" "go:Go 1.26 or newer, https://go.dev/dl"
[ "$1" = --demo ] && shift || set -- "$@" "gcc:the race detector needs it" "git:Go fetches and stamps with it"
for tool; do
	command -v "${tool%%:*}" >/dev/null || fail "${tool%%:*} is missing (${tool#*:}): install it and put it into PATH"
done
