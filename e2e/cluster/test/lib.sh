# Helpers of the cluster's own tests. Sourced; leaves no cluster of the test's behind.
# shellcheck shell=bash
T=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
begun=$SECONDS
c() { local cmd=$1; shift; "$T/../cluster" "$cmd" --name "$NAME" "$@"; }
k() { c kubectl -- "$@"; }
ok() { printf '%3d s  ok: %s\n' $((SECONDS - begun)) "$*"; }
bad() { echo "FAILED: $*" >&2; exit 1; }

# until_true SECONDS WHAT COMMAND...
until_true() {
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || bad "not in time: $what"; sleep 0.3; done
}

phase_is() { [ "$(k -n t get "$1" -o 'jsonpath={.status.phase}')" = "$2" ]; }
event() { k -n t get events --field-selector "involvedObject.name=$1,reason=$2" -o 'jsonpath={.items[*].message}'; }
has_event() { [[ $(event "$1" "$2") == *"$3"* ]]; }
said_done() { [[ $(k -n t logs "$1") == *done* ]]; }
