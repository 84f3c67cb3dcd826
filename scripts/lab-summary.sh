#!/usr/bin/env bash
# What `make lab` ends with: the nodes as the API at the VIP lists them, and how to get at them.
#   --images   only which image of kube-vip the lab has; without one its tests are skipped
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

images() {
    local found
    found=$(find -L vagrant/.lab/files/images -name 'kube-vip-*.tar.zst' -printf '%f\n' 2>/dev/null | sort | paste -sd' ' -)
    if [ -n "$found" ]; then
        echo "kube-vip:   $found"
    else
        echo "kube-vip:   skipped: no kube-vip image (vagrant/README.md says where the lab looks for one)"
    fi
}
if [ "${1:-}" = --images ]; then
    images
    exit
fi

kubeconfig=inventory/.quorate/kubernetes.kubeconfig
kubectl=vagrant/.lab/files/bin/kubectl
echo
"$kubectl" --kubeconfig "$kubeconfig" get nodes -o wide
echo
echo "kubeconfig: $PWD/$kubeconfig"
echo "kubectl:    $PWD/$kubectl"
images
echo "again: make lab${LB:+ LB=$LB}   a host: make lab-ssh NODE=cp1   away with it: make lab-down"
