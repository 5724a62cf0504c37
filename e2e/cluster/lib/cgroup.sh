# The cluster's cgroup parent /$ID, below which kubelet puts all pods: made, and removed.
# It moves no process but in one case (see below) and sets no limits.
# Invariant: only directories called $ID are made or removed.
# shellcheck shell=bash
CGROUP=${CGROUP:-/sys/fs/cgroup}

cgroup_version() { if [ "$(stat -fc %T "$CGROUP")" = cgroup2fs ]; then echo 2; else echo 1; fi; }

# every mounted hierarchy, links such as cpu -> cpu,cpuacct left out
cgroup_roots() { awk -v c="$CGROUP" '($3 == "cgroup" || $3 == "cgroup2") && index($2, c) == 1 {print $2}' /proc/mounts | sort -u; }

cgroup_up() {
  local root
  if [ "$(cgroup_version)" = 2 ]; then cgroup_up_v2; return; fi
  for root in $(cgroup_roots); do
    mkdir -p "$root/$ID"
    [ ! -f "$root/$ID/cpuset.cpus" ] || {           # a new v1 cpuset has no CPU and no memory node
      cat "$root/cpuset.cpus" >"$root/$ID/cpuset.cpus"
      cat "$root/cpuset.mems" >"$root/$ID/cpuset.mems"
    }
  done
}

# v2: kubelet needs its controllers enabled from the root down to its own parent. On a host this
# is allowed at the real root even though it has processes; systemd takes nothing away again that
# a child uses. In a container the "root" is an inner cgroup, where processes and enabled
# controllers exclude each other: then, and only then, its processes move to the leaf vmimg-rest.
cgroup_up_v2() {
  local c p
  mkdir -p "$CGROUP/$ID"
  for c in cpuset cpu io memory hugetlb pids; do
    grep -qw "$c" "$CGROUP/cgroup.controllers" || continue
    if ! { echo "+$c" >"$CGROUP/cgroup.subtree_control"; } 2>/dev/null; then
      [ -e "$CGROUP/cgroup.type" ] || die "cannot enable the cgroup controller $c"
      mkdir -p "$CGROUP/vmimg-rest"
      while read -r p; do { echo "$p" >"$CGROUP/vmimg-rest/cgroup.procs"; } 2>/dev/null || true; done <"$CGROUP/cgroup.procs"
      echo "+$c" >"$CGROUP/cgroup.subtree_control"
    fi
    echo "+$c" >"$CGROUP/$ID/cgroup.subtree_control"
  done
}

# The processes are dead by now, but the kernel needs a moment to empty their cgroups.
cgroup_down() {
  local root left try
  for ((try = 0; try < 50; try++)); do
    left=
    for root in $(cgroup_roots); do
      [ -d "$root/$ID" ] || continue
      find "$root/$ID" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ ! -d "$root/$ID" ] || left+=" $root/$ID"
    done
    [ -n "$left" ] || return 0
    sleep 0.1
  done
  echo "cluster: cgroups left:$left" >&2
  return 1
}
