# Shared by the scripts beside it: stages with times, packages. It is sourced and does nothing by
# itself.
# Invariant: talk goes to standard error.
# shellcheck shell=bash
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CLUSTER=$ROOT/e2e/cluster/cluster
began=$SECONDS

# stage TEXT: announces the next stage with the seconds since the start.
stage() { printf '\n\033[1m==> %4d s  %s\033[0m\n' "$((SECONDS - began))" "$*" >&2; }

# What the scripts themselves need of Debian, beside the cluster's packages.
packages() { "$ROOT/e2e/cluster/lib/deps.sh" qemu-system-x86 qemu-utils ca-certificates gcc libc6-dev make "$@"; }

# need COMMAND HINT: fails with the hint if the command is not there.
need() { command -v "$1" >/dev/null || { echo "$1 is not in PATH: $2" >&2; exit 1; }; }
