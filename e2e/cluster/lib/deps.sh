#!/bin/bash
# Installs the Debian packages that a running cluster needs, and those named as arguments, if any
# is missing. It starts no service and installs no Go.
# Invariant: nothing happens, and nothing is printed, when all are there.
set -euo pipefail
packages=(containerd runc containernetworking-plugins nftables conntrack iproute2 util-linux procps kmod e2fsprogs curl "$@")
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$p" 2>/dev/null)" = "ii " ] || missing+=("$p")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get install -y -q --no-install-recommends "${missing[@]}" >&2 ||
  { apt-get update -q >&2; apt-get install -y -q --no-install-recommends "${missing[@]}" >&2; }
