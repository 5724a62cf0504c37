# The commands that use a running cluster. Sourced by `cluster`; starts and stops nothing.
# Invariant: what a script reads (a path, NAME=VALUE lines) goes to standard output alone.
# shellcheck shell=bash

# every name that has something on this machine
known() {
  local d
  for d in "$STATE_ROOT"/*/ "$RUN_ROOT"/*/; do [ ! -d "$d" ] || basename "$d"; done | sort -u
}

cmd_status() {
  local n rc=3 line row='%-12s  %-13s  %-20s  %-9s  %s\n'
  need_root
  # shellcheck disable=SC2059
  printf "$row" NAME MODE SINCE STATE KUBECONFIG
  for n in $(known); do
    line=$(status_of "$n")
    echo "$line"
    [ "$n" != "$NAME" ] || [[ $line != *" Ready "* ]] || rc=0
  done
  return $rc
}

# one line, and one more for each component that has ended; in a subshell, for it changes NAME
status_of() (
  NAME=$1
  . "$LIB/vars.sh"
  state=down
  if init_pid >/dev/null; then
    state=starting
    if [ "$(mode)" = full ]; then
      case $(kubectl get node "$NODE" --request-timeout=3s -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) in
      True) state=Ready ;;
      ?*) state=NotReady ;;
      esac
    elif api_ready; then state=Ready; fi
    [ ! -s "$RUN/ended" ] || state=degraded
  fi
  # shellcheck disable=SC2059,SC2153
  printf "$row" "$NAME" "$(mode)" "$(cat "$RUN/since" 2>/dev/null || echo -)" "$state" "$STATE/kubeconfig"
  [ ! -s "$RUN/ended" ] || sed 's/^/              /' "$RUN/ended"
)

cmd_env() {
  need_up
  echo "KUBECONFIG=$STATE/kubeconfig"
  echo "VMIMAGE_CLUSTER_NETNS=$ID"
  echo "VMIMAGE_CLUSTER_STATE=$STATE"
  echo "VMIMAGE_CLUSTER_BIN=$BIN/bin"
  echo "VMIMAGE_CLUSTER_AUDIT=$STATE/audit.log"
  echo "VMIMAGE_CLUSTER_CONTAINERD=$SOCK"
  echo "VMIMAGE_CLUSTER_PV=/proc/$PID/root$STATE/pv"
}

cmd_exec() {
  local l
  need_root; need_up
  [ $# -gt 0 ] || die "exec: no command"
  export KUBECACHEDIR=$STATE/kubecache
  while read -r l; do export "${l?}"; done < <(cmd_env)
  exec nsenter --net="$NETNS" -- "$@"
}

cmd_load() {
  local out names
  need_root; need_up
  [ "$(mode)" = full ] || die "load: a control-plane-only cluster has no container runtime"
  if [ $# != 1 ] || [ ! -r "$1" ]; then die "load: one readable archive is wanted"; fi
  out=$(ctr -a "$SOCK" -n k8s.io images import "$1" 2>&1) || die "load: $out"
  names=$(sed -nE 's/^unpacking ([^ ]+) \((sha256:[0-9a-f]{64})\).*/\1 \2/p' <<<"$out" | sort -u)
  [ -n "$names" ] || die "load: the archive names no image: $out"
  echo "$names"
}

cmd_volume() {
  local pv=${1:-} path
  need_root; need_up
  [ $# = 1 ] || die "volume: one PV or NAMESPACE/CLAIM is wanted"
  if [[ $pv == */* ]]; then
    pv=$(kubectl get pvc -n "${1%%/*}" "${1#*/}" -o 'jsonpath={.spec.volumeName}')
    [ -n "$pv" ] || die "volume: claim $1 has no volume"
  fi
  path=$(kubectl get pv "$pv" -o 'jsonpath={.spec.local.path}')
  case $path in
  /dev/*) echo "$path" ;;
  "$STATE"/*) echo "/proc/$PID/root$path" ;;
  *) die "volume: $pv is not of this cluster's provisioner" ;;
  esac
}
