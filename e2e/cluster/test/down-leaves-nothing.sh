#!/bin/bash
# Proves that `down` leaves nothing while a pod has a Block and a Filesystem volume open, when
# the first process was killed before, and when a start fails. Compares loop devices, mounts,
# network namespaces, cgroups, processes and directories before and after, two clusters at once.
# Run it on a machine where nothing else changes these. Invariant: its clusters are gone at the end.
set -euo pipefail
NAME=t-down
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap 'c down --quiet; NAME=t-down2; c down --quiet' EXIT

snapshot() {
  echo "# loop devices"; losetup -a
  echo "# mounts"; awk '{print $1, $2}' /proc/mounts
  echo "# network namespaces"; ip netns
  echo "# cgroups"; find /sys/fs/cgroup -type d -path '*vmimg*'
  echo "# processes"; for p in /proc/[0-9]*; do
    { tr "\\0" " " <"$p/cmdline"; } 2>/dev/null | grep -E '/(vmimage-operator|clusters|e2e/cluster/lib)/|^(etcd|kube|containerd|provisioner)' || true; done
  echo "# directories"; find "$HOME/.kube" /run /var/lib /var/log /opt /etc /usr/libexec -xdev -type d \( -path "$HOME/.kube*" -o -name 'vmim*' -o -path '*kube*' -o -path '*/cni*' -o -path '*containerd*' -o -path '*netns*' -o -path /var/log/pods -o -path /var/log/containers \) 2>/dev/null | sort || true
}
same() {
  local now; now=$(snapshot)
  [ "$before" = "$now" ] || { diff <(echo "$before") <(echo "$now") || true; bad "$1 left something"; }
  ok "$1 leaves nothing"
}
busy() {
  c up
  c load "$(c env | sed -n 's/^VMIMAGE_CLUSTER_BIN=//p')/../img/probe.tar" >/dev/null
  k apply -f "$T/pods.yaml" >/dev/null
  until_true 60 "holder" said_done holder
}

before=$(snapshot)
busy; first=$NAME
NAME=t-down2; busy
echo "two clusters, loop devices in use:"; losetup -a
NAME=$first; c down
NAME=t-down2
if ! phase_is pod/holder Running || ! c status >/dev/null; then bad "the other cluster suffered"; fi
ok "the other cluster goes on"
c down
same "down with volumes in use (two clusters)"

NAME=$first; busy
kill -KILL "$(cat "/run/vmimage-operator/$NAME/init.pid")"
sleep 1; c down
same "down after the first process was killed"

c up --control-plane; c down
same "control-plane-only down"
c down --quiet; same "a second down"

small=$(mktemp -d); mount -t tmpfs -o size=1m tmpfs "$small"               # etcd finds no space
if VMIMAGE_STATE=$small c up >"$small.log" 2>&1; then bad "up without space"; fi
grep -A3 -- '--- etcd.log' "$small.log"
umount "$small"; rmdir "$small"; rm "$small.log"
same "a failed up"
