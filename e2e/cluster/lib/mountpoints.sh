# Paths that containerd, CNI and kubelet have built in. Each cluster covers them with a tmpfs of
# its own in its mount namespace; only the empty directories under those mounts are the host's.
# Invariant: a directory that was there before is never removed, and none while a cluster runs.
# shellcheck shell=bash
MOUNTPOINTS=(/run/containerd /run/netns /var/lib/cni /var/lib/kubelet /var/log/pods /var/log/containers)
MADE=$RUN_ROOT/.made                # those of them that we made

mountpoints_up() {
  local d
  ( lock "$RUN_ROOT/.lock"
    for d in "${MOUNTPOINTS[@]}"; do
      [ -d "$d" ] || { mkdir -p "$d"; echo "$d" >>"$MADE"; }
    done )
}

# called when $RUN is gone: the last cluster tidies up
mountpoints_down() {
  local d
  ( lock "$RUN_ROOT/.lock"
    if ! find "$RUN_ROOT" -mindepth 1 -maxdepth 1 -type d | grep -q .; then
      [ ! -f "$MADE" ] || while read -r d; do
        # `ip netns add` has mounted this one on itself
        [ "$d" != /run/netns ] || while mountpoint -q "$d"; do umount "$d" || break; done
        rmdir "$d" 2>/dev/null || true
      done <"$MADE"
      rm -f "$MADE" "$RUN_ROOT/.lock"
      rmdir "$RUN_ROOT" 2>/dev/null || true
    fi )
}
