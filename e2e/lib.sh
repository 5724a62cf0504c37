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

# static_cargo COMMAND ARGUMENT...: cargo for the image's programs and for all tests, which share what they
# compile: linked statically, as they are shipped. An explicit target keeps crt-static away from build scripts and
# procedural macros.
static_cargo() {
  RUSTFLAGS='-C target-feature=+crt-static' cargo "$1" --locked --target "$(host)" "${@:2}"
}

# The target that Rust compiles for here.
host() { rustc -vV | sed -n 's/^host: //p'; }

# What e2e/dist packs beside the programs.
dist_packages=$("$ROOT/e2e/assets" --packages)

# need COMMAND HINT: fails with the hint if the command is not there.
need() { command -v "$1" >/dev/null || { echo "$1 is not in PATH: $2" >&2; exit 1; }; }

# The image that the sources here are packed as.
image=vmimage.dev/vmimage-operator:$(sed -n 's/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)

# install_operator KUBECTL...: installs the operator with $image and waits until it is ready. ext4
# takes some of a volume for itself: on the local cluster's classes claims have a floor. All in one
# request: a second one would replace a pod that has just begun.
install_operator() {
  local floors='[{name: VMIMAGE_CLASS_MINIMUM, value: "local=4Mi,local-immediate=4Mi"}]'
  sed -e "s#vmimage.dev/vmimage-operator:[0-9.]*#$image#g" \
    -e "/^kind: Deployment/,\$s/^\( *\)args:\$/\1env: $floors\n&/" "$ROOT/charts/install.yaml" |
    "$@" apply --server-side -f - >/dev/null
  "$@" -n vmimage-system rollout status deployment/vmimage-operator --timeout=180s
}
