#!/bin/bash
# Builds the cluster's programs and images. Does: `build.sh` makes the cache directory
# that `build.sh --path` names, unless it exists. Does not: install Go, prune old directories.
# Invariant: a directory by that name is complete, for it is renamed into place at the end; its
# name is a hash of everything the content depends on.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$here/lib/gobuild.sh"

version=$(awk '$1 == "k8s.io/kubernetes" {print $2; exit}' "$here/go.mod")
sources() { cd "$here" && find go.mod go.sum cmd lib/build.sh lib/gobuild.sh -type f -print0 | LC_ALL=C sort -z; }
hash=$({ sources | (cd "$here" && xargs -0 sha256sum); go_version; } | sha256sum | cut -c1-12)
dest=$CACHE/cluster-$hash
if [ "${1:-}" = --path ]; then echo "$dest"; exit 0; fi
[ ! -d "$dest" ] || exit 0

cached_build "$dest" || exit 0      # another build has just made it
cd "$here"
minor=${version#v1.}; minor=${minor%%.*}
ld="-s -w"
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ld+=" -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=$minor -X $p.gitTreeState=clean -X $p.gitCommit=none -X $p.buildDate=1970-01-01T00:00:00Z"
done
mkdir "$tmp/bin" "$tmp/img" "$tmp/scratch"
go_build "$ld" "$tmp/bin/" ./cmd/kube-all
go_build "-s -w" "$tmp/bin/" ./cmd/etcd ./cmd/provisioner ./cmd/certgen ./cmd/ociimg
go_build "-s -w" "$tmp/scratch/" ./cmd/pause ./cmd/probe ./cmd/coredns
for c in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do ln -s kube-all "$tmp/bin/$c"; done
for i in pause coredns probe; do
  "$tmp/bin/ociimg" -o "$tmp/img/$i.tar" -name "cluster.vmimage.dev/$i:1" -user 65532:65532 -entry "/$i" "$tmp/scratch/$i:/$i" >/dev/null
done
rm -r "$tmp/scratch"
mv "$tmp" "$dest"
say "built $dest ($(du -sh "$dest" | cut -f1))"
