#!/bin/bash
# First process of a cluster's pid namespace: starts the components in their order and stays.
# It restarts nothing: a component that ends is written to $RUN/ended, which `status` shows.
# Invariant: all mounts and processes are inside the namespaces it was started in; when it is
# killed the kernel ends all of them.   Usage: init.sh NAME   (by up.sh only)
set -u
# shellcheck disable=SC2034
NAME=$1
. "$(dirname "${BASH_SOURCE[0]}")/vars.sh"
. "$(dirname "${BASH_SOURCE[0]}")/mountpoints.sh"
export PATH="$BIN/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/root
unset KUBECONFIG
P=$STATE/pki
declare -A component

run() {
  local n=$1; shift
  "$@" >"$STATE/log/$n.log" 2>&1 &
  component[$!]=$n
}

api_ready_here() { curl -sf -m 2 --cacert "$P/ca.crt" "https://$NODE_IP:6443/readyz" >/dev/null; }

# ended PID STATUS: remembers that a component is gone
ended() { echo "${component[$1]:-process $1} ended with status $2" | tee -a "$RUN/ended"; unset "component[$1]"; }

mount --make-rshared /
for d in "${MOUNTPOINTS[@]}"; do mount -t tmpfs tmpfs "$d"; done

etcd=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
run etcd etcd --data-dir "$STATE/etcd" --name s --unsafe-no-fsync --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
  --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "s=$peer"
run apiserver kube-apiserver --etcd-servers="$etcd" --advertise-address="$NODE_IP" --bind-address=0.0.0.0 --secure-port=6443 \
  --service-cluster-ip-range="$SVC_NET" --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --audit-policy-file="$STATE/conf/audit-policy.yaml" --audit-log-path="$STATE/audit.log" --audit-log-maxsize=1000000 \
  --client-ca-file="$P/ca.crt" --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
  --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" --kubelet-client-key="$P/apiserver-kubelet-client.key" \
  --kubelet-certificate-authority="$P/ca.crt" --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key" \
  --requestheader-client-ca-file="$P/ca.crt" --requestheader-allowed-names=front-proxy-client --requestheader-username-headers=X-Remote-User \
  --requestheader-group-headers=X-Remote-Group --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key"

if [ "$(mode)" = full ]; then
  run containerd containerd --config "$STATE/conf/containerd.toml"
  # images before kubelet: a pod that misses one waits out a back-off
  ( until ctr -a "$SOCK" version >/dev/null 2>&1; do sleep 0.1; done
    for i in pause coredns; do ctr -a "$SOCK" -n k8s.io images import --digests=false "$BIN/img/$i.tar"; done ) >"$STATE/log/import.log" 2>&1 & import=$!
  until api_ready_here; do
    for p in "${!component[@]}"; do kill -0 "$p" 2>/dev/null || ended "$p" unknown; done
    sleep 0.1
  done
  run controller-manager kube-controller-manager --kubeconfig="$P/controller-manager.kubeconfig" --authentication-kubeconfig="$P/controller-manager.kubeconfig" \
    --authorization-kubeconfig="$P/controller-manager.kubeconfig" --leader-elect=false --use-service-account-credentials=true --kube-api-qps=500 --kube-api-burst=1000 \
    --service-account-private-key-file="$P/sa.key" --root-ca-file="$P/ca.crt" --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" \
    --cluster-cidr="$POD_NET" --service-cluster-ip-range="$SVC_NET" --bind-address=127.0.0.1 --flex-volume-plugin-dir="$STATE/volplugins"
  run scheduler kube-scheduler --kubeconfig="$P/scheduler.kubeconfig" --authentication-kubeconfig="$P/scheduler.kubeconfig" \
    --authorization-kubeconfig="$P/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
  wait "$import"
  run kubelet kubelet --config="$STATE/conf/kubelet.yaml" --kubeconfig="$P/node.kubeconfig" --hostname-override="$NODE" --node-ip="$NODE_IP" --root-dir="$STATE/kubelet"
  run kube-proxy kube-proxy --config="$STATE/conf/kube-proxy.yaml"
  run provisioner provisioner -kubeconfig "$P/provisioner.kubeconfig" -dir "$STATE/pv" -loops "$STATE/loops" -node "$NODE"
fi

while :; do
  rc=0; which=
  wait -n -p which || rc=$?
  if [ -n "${which:-}" ]; then ended "$which" "$rc"; else sleep 5; fi
done
