#!/bin/bash
# Proves that a full cluster is as strict as a real one: Pod Security, RBAC, DNS, service IPs,
# size-limited and pre-filled volumes, claims left alone or refused, audit log, reclaiming.
# It tests the cluster, nothing of the operator. Invariant: its cluster is gone at the end.
set -euo pipefail
NAME=t-works
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap 'c down --quiet' EXIT
c up
eval "$(c env | sed 's/^/export /')"
loaded=$(c load "${VMIMAGE_CLUSTER_BIN%/bin}/img/probe.tar")
[[ $loaded == "cluster.vmimage.dev/probe:1 sha256:"* ]] || bad "load: $loaded"
k apply -f "$T/pods.yaml" >/dev/null
until_true 20 "default service account" k -n t get serviceaccount default
k apply -f "$T/odd-claims.yaml" >/dev/null

until_true 60 "holder" said_done holder
k -n t logs holder; ok "confined pod, ENOSPC, lost+found, 0xA5, fsGroup"
fs=$(c volume t/fs); blk=$(c volume t/blk)
[ "$(cat "$fs/proof.txt")" = "written by 107:107" ] || bad "$fs"
[ "$(head -c 20 "$blk")" = "written by the probe" ] || bad "$blk"
pv=$(k -n t get pvc fs -o 'jsonpath={.spec.volumeName}')
[ "$(c volume "$pv")" = "$fs" ] || bad "volume by PV name"
[ "$VMIMAGE_CLUSTER_PV/$pv" = "$fs" ] || bad "env: VMIMAGE_CLUSTER_PV"
[ "$(k get pv "$pv" -o 'jsonpath={.spec.capacity.storage}')" = 16Mi ] || bad "capacity"
[ "$(stat -c %s "$VMIMAGE_CLUSTER_PV/$pv.img")" = $((16 << 20)) ] || bad "backing file"
has_event fs ProvisioningSucceeded "$pv" || bad "no event ProvisioningSucceeded"
ok "volumes seen from the host: $fs $blk"

until_true 30 "api pod" said_done api
k -n t logs api; ok "DNS, service IP, RBAC in a pod"
until_true 20 tiny has_event tiny ProvisioningFailed "cannot hold an ext4 filesystem"
until_true 20 huge has_event huge ProvisioningFailed "not enough space"
until_true 20 many has_event many ProvisioningFailed "ReadWriteMany is not supported"
until_true 20 small phase_is pvc/small Bound
[ "$(stat -c %s "$VMIMAGE_CLUSTER_PV/$(k -n t get pvc small -o 'jsonpath={.spec.volumeName}').img")" = 1101824 ] || bad "1100001 bytes are not rounded up to 4096"
phase_is pvc/populated Pending || bad "a populator's claim was provisioned"
[ -z "$(event populated ProvisioningFailed)" ] || bad "a populator's claim was tried"
event tiny ProvisioningFailed; echo; ok "refused: tiny, huge, many; left alone: populated"

if k -n t run bad --image=cluster.vmimage.dev/pause:1 --privileged 2>/dev/null; then bad "privileged pod"; fi
k create token default -n t >/dev/null
grep -q '"user":{"username":"cluster.vmimage.dev:provisioner".*"resource":"persistentvolumes"' "$VMIMAGE_CLUSTER_AUDIT" || bad "audit log"
# shellcheck disable=SC2016
c exec -- sh -c 'curl -sk "https://10.96.0.1/version" | grep -q gitVersion && test -f "$KUBECONFIG"' || bad "exec"
ok "Pod Security refuses, tokens are signed, audit log written, exec"

k delete ns t --wait=false >/dev/null
until_true 90 "volumes reclaimed" sh -c "test \$('$T/../cluster' kubectl --name $NAME get pv -o name | wc -l) = 0"
[ -z "$(ls "$VMIMAGE_CLUSTER_PV")" ] || bad "left: $(ls "$VMIMAGE_CLUSTER_PV")"
[ ! -s "$VMIMAGE_CLUSTER_STATE/loops" ] || bad "loops: $(cat "$VMIMAGE_CLUSTER_STATE/loops")"
ok "volumes reclaimed"
c status
