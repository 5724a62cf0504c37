# `up`: starts a cluster and returns when it can be used. Sourced by `cluster`.
# It never touches a cluster that runs; if the start fails it shows why and leaves nothing.
# shellcheck shell=bash disable=SC2154
. "$LIB/cgroup.sh"
. "$LIB/mountpoints.sh"

up_begun=$(date +%s%N)
up_say() { local ms=$((($(date +%s%N) - up_begun) / 1000000)); printf '%3d.%02d s  %s\n' $((ms / 1000)) $((ms % 1000 / 10)) "$*"; }

# a namespace with lo and a veth pair whose both ends stay inside; no default route: nothing leaves
up_network() {
  ip netns add "$ID"
  in_net ip link set lo up
  in_net ip link add node0 type veth peer name node1
  in_net ip addr add "$NODE_IP/24" dev node0
  in_net ip link set node0 up
  in_net ip link set node1 up
  [ "$(mode)" = full ] || return 0
  in_net ip route add "$SVC_NET" dev node0     # only so that the look-up before DNAT succeeds
  modprobe -qa br_netfilter overlay loop 2>/dev/null || true
  in_net sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

up_config() {
  local f
  mkdir -p "$STATE"/{conf,cni,log,pv,volplugins}
  "$BIN/bin/certgen" -dir "$STATE/pki" -context "$ID" -node "$NODE" -ip "$NODE_IP" -svc "$SVC_API" -server "https://$NODE_IP:6443"
  install -m 600 "$STATE/pki/admin.kubeconfig" "$STATE/kubeconfig"
  : >"$STATE/resolv.conf"
  for f in "$HERE"/conf/*; do
    sed -e "s#@STATE@#$STATE#g; s#@RUN@#$RUN#g; s#@NODE@#$NODE#g; s#@POD_NET@#$POD_NET#g; s#@SVC_DNS@#$SVC_DNS#g; s#@ID@#$ID#g" "$f" >"$STATE/conf/${f##*/}"
  done
  mv "$STATE/conf/10-bridge.conflist" "$STATE/cni/"
}

up_start() {
  local parent p=
  # The lock's descriptor must not live on in the cluster.
  setsid nsenter --net="$NETNS" unshare --mount --pid --fork --kill-child --mount-proc --propagation slave \
    /bin/bash "$LIB/init.sh" "$NAME" >"$STATE/log/init.log" 2>&1 </dev/null {lock_fd}>&- &
  parent=$!
  for _ in {1..100}; do p=$(pgrep -P "$parent" || true); [ -z "$p" ] || break; sleep 0.05; done
  [ -n "$p" ] || { echo "no first process"; return 1; }
  echo "$p" >"$RUN/init.pid"
}

up_wait() {
  local api='' i
  for ((i = 0; i < 900; i++)); do
    init_pid >/dev/null || { echo "the first process has ended" >&2; return 1; }
    [ ! -s "$RUN/ended" ] || { cat "$RUN/ended" >&2; return 1; }
    if [ -z "$api" ]; then
      if api_ready; then api=1; up_say "API server ready"; [ "$(mode)" = full ] || return 0; fi
    elif [ "$(kubectl get node "$NODE" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]; then
      up_say "node Ready"; return 0
    fi
    sleep 0.2
  done
  echo "not ready after 3 minutes" >&2; return 1
}

up_failed() {
  local rc=$? f
  trap - EXIT; trap '' INT TERM
  [ $rc != 0 ] || rc=1
  echo "cluster: $NAME did not start; the ends of its logs:" >&2
  for f in "$STATE"/log/*.log; do [ ! -s "$f" ] || { echo "--- ${f##*/}"; tail -n 8 "$f" | cut -c1-400; } >&2; done
  if down_locked; then down_finish; fi
  exit $rc
}

cmd_up() {
  local wanted=full
  case "${1:-}" in
  --control-plane) wanted=control-plane; shift ;;
  esac
  [ $# = 0 ] || die "up: unknown argument $1"
  need_root
  "$LIB/build.sh"; up_begun=$(date +%s%N)
  lock "$RUN_ROOT/.lock-$NAME"
  . "$LIB/vars.sh"                               # as it is now that we have the lock
  if init_pid >/dev/null; then
    [ "$(mode)" = "$wanted" ] || die "$NAME is up as $(mode); take it down first"
    up_say "$NAME is already up ($wanted)"; return 0
  fi
  [ "$wanted" = control-plane ] || command -v containerd >/dev/null || die "containerd is missing: run \`$0 deps\`"
  down_locked                                    # what a crash or a reboot has left
  STATE=$STATE_ROOT/$NAME
  trap up_failed EXIT
  trap 'exit 130' INT TERM
  mkdir -p "$RUN" "$STATE"
  chmod 711 "$STATE"
  ln -sfn "$STATE" "$RUN/state"
  BIN=$("$LIB/build.sh" --path)
  ln -sfn "$BIN" "$RUN/bin"
  echo "$wanted" >"$RUN/mode"
  mountpoints_up
  up_network
  [ "$wanted" != full ] || cgroup_up
  up_config
  up_say "prepared"
  up_start
  up_wait
  kubectl apply -f "$HERE/manifests/storage.yaml" >/dev/null
  [ "$wanted" != full ] || kubectl apply -f "$HERE/manifests/coredns.yaml" >/dev/null
  date -u +%Y-%m-%dT%H:%M:%SZ >"$RUN/since"
  trap - EXIT INT TERM
  up_say "$NAME is up ($wanted)"
}
