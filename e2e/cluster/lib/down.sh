# `down`: ends a cluster and removes all it left. Sourced by `cluster`.
# It ends only the cluster's own first process (the kernel then ends the rest of its pid
# namespace) and no process that a user runs in the network namespace.
# Invariant: a loop device is detached only if its backing file is, by device and inode, one of
# this cluster's, or a device node of such a loop device.
# shellcheck shell=bash disable=SC2154
. "$LIB/cgroup.sh"
. "$LIB/mountpoints.sh"

loop_list() { losetup -l -n -O NAME,BACK-MAJ:MIN,BACK-INO | awk '{print $1, $2, $3}'; }

# Paths do not do: when a mount namespace is gone the kernel shows them as "/" or "(deleted)".
# First our own devices, then kubelet's second one on each Block volume in use: upper ones last.
loops_of_cluster() {
  local f dev files='' nodes='' own
  for f in "$STATE"/pv/*.img; do [ ! -f "$f" ] || files+="$(stat -c '%Hd:%Ld %i' "$f")"$'\n'; done
  if [ -f "$STATE/loops" ]; then                  # backing files that were removed while attached
    files+=$(awk '{print $3, $4}' "$STATE/loops")$'\n'
  fi
  own=$(loop_list | while read -r dev f; do grep -qxF -- "$f" <<<"$files" && echo "$dev"; done) || true
  for dev in $own; do nodes+="$(stat -c '%Hd:%Ld %i' "$dev")"$'\n'; done
  echo "$own"
  [ -z "$own" ] || loop_list | while read -r dev f; do ! grep -qxF -- "$f" <<<"$nodes" || echo "$dev"; done
}

loops_down() {
  local try loops
  for ((try = 0; try < 50; try++)); do
    loops=$(loops_of_cluster | tac)
    [ -n "$loops" ] || return 0
    # shellcheck disable=SC2086
    losetup -d $loops 2>/dev/null || true
    sleep 0.1
  done
  echo "cluster: loop devices still in use: $(echo "$loops" | tr '\n' ' ')" >&2
  return 1
}

down_kill() {
  local p
  p=$(init_pid) || return 0
  kill -KILL "$p"
  for _ in {1..400}; do
    case "$(awk '{print $3}' "/proc/$p/stat" 2>/dev/null)" in ''|Z) return 0 ;; esac
    sleep 0.05
  done
  echo "cluster: process $p does not end" >&2
  return 1
}

# with the cluster's lock held
down_locked() {
  local rc=0 left
  down_kill || rc=1
  if [ -d "$STATE" ]; then loops_down || rc=1; fi
  if [ -e "$NETNS" ]; then
    left=$(ip netns pids "$ID" 2>/dev/null | tr '\n' ' ') || true
    [ -z "$left" ] || echo "cluster: processes that others run in the network namespace of $NAME go on without it: $left" >&2
    ip netns del "$ID" || rc=1
  fi
  cgroup_down || rc=1
  left=$(awk -v s="$STATE/" -v r="$RUN/" 'index($2, s) == 1 || index($2, r) == 1 {print $2}' /proc/mounts)
  if [ -n "$left" ]; then echo "cluster: mounts left: $left" >&2; return 1; fi
  rm -rf --one-file-system "$STATE" || rc=1
  [ $rc = 0 ] || return $rc                       # $RUN stays, so that another `down` can go on
  rm -rf --one-file-system "$RUN"
}

# gives the lock up; the last cluster's directories go too
down_finish() {
  rmdir "${STATE%/*}" "${STATE%/clusters/*}" 2>/dev/null || true
  rm -f "$RUN_ROOT/.lock-$NAME"
  exec {lock_fd}>&-
  mountpoints_down
}

cmd_down() {
  local quiet='' all='' a t0=$EPOCHREALTIME rc=0 n
  for a in "$@"; do
    case $a in
    --quiet) quiet=1 ;;
    --all) all=1 ;;
    *) die "down: unknown argument $a" ;;
    esac
  done
  need_root
  if [ -n "$all" ]; then
    for n in $(known); do "$0" down --name "$n" ${quiet:+--quiet} || rc=1; done
    return $rc
  fi
  if [ ! -d "$RUN" ] && [ ! -d "$STATE" ] && [ ! -e "$NETNS" ]; then
    [ -n "$quiet" ] || echo "$NAME is not up"
    return 0
  fi
  lock "$RUN_ROOT/.lock-$NAME"
  . "$LIB/vars.sh"
  down_locked || die "$NAME is not wholly down"
  down_finish
  [ -n "$quiet" ] || awk -v n="$NAME" -v a="$t0" -v b="$EPOCHREALTIME" 'BEGIN {printf "%6.2f s  %s is down\n", b - a, n}'
}
