# Names, addresses and paths of one cluster, and small helpers. Sourced after NAME is set; it
# changes nothing on the machine.
# Invariant: everything a cluster writes lies under $STATE and $RUN; names of things outside of
# them (network namespace, cgroup) are $ID.
# shellcheck shell=bash disable=SC2034
ID=vmimg-$NAME
RUN_ROOT=/run/vmimage-operator
RUN=$RUN_ROOT/$NAME                 # sockets and pid files: the path must stay short
STATE_ROOT=${VMIMAGE_STATE:-/var/lib/vmimage-operator}/clusters
STATE=$STATE_ROOT/$NAME
# a cluster that exists stays where it was made, whatever VMIMAGE_STATE says today
[ ! -L "$RUN/state" ] || STATE=$(readlink "$RUN/state")
BIN=$(readlink "$RUN/bin" || true)  # the programs it was started with
SOCK=$RUN/containerd.sock
NETNS=/run/netns/$ID
NODE=node1
NODE_IP=10.77.0.1                   # each cluster has a network namespace: equal addresses do not meet
POD_NET=10.244.0.0/24
SVC_NET=10.96.0.0/16
SVC_API=10.96.0.1
SVC_DNS=10.96.0.10
: "${lock_fd:=}"                    # descriptor of the lock held, if any

die() { echo "cluster: $*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root (namespaces, mounts, loop devices)"; }

# lock FILE: holds FILE locked until the process ends or `unlock`; right also when the holder
# before us has removed the file.
lock() {
  while :; do
    mkdir -p "$(dirname "$1")"
    { exec {lock_fd}>"$1"; } 2>/dev/null || continue
    flock "$lock_fd"
    [ "$1" -ef "/proc/$BASHPID/fd/$lock_fd" ] && return 0
    exec {lock_fd}>&-
  done
}

# init_pid: the pid, as the host sees it, of the cluster's first process; nothing if it is not
# running. A pid from a file is believed only if the process runs our init for this name.
init_pid() {
  local p args
  p=$(cat "$RUN/init.pid" 2>/dev/null) || return 1
  [ -r "/proc/$p/cmdline" ] || return 1
  mapfile -d '' -t args 2>/dev/null <"/proc/$p/cmdline" || return 1
  [ "${#args[@]}" -ge 3 ] && [[ ${args[1]} == */lib/init.sh ]] && [ "${args[2]}" = "$NAME" ] || return 1
  echo "$p"
}

need_up() { PID=$(init_pid) || die "cluster $NAME is not up"; }

mode() { cat "$RUN/mode" 2>/dev/null || echo full; }

in_net() { nsenter --net="$NETNS" -- "$@"; }

# kubectl keeps what it discovered by address, and all clusters have the same one
kubectl() { KUBECACHEDIR=$STATE/kubecache in_net "$BIN/bin/kubectl" --kubeconfig "$STATE/kubeconfig" "$@"; }

api_ready() { in_net curl -sf -m 2 --cacert "$STATE/pki/ca.crt" "https://$NODE_IP:6443/readyz" >/dev/null; }
