#!/usr/bin/env bash
# What `make lab` ends with: the nodes as the API at the VIP lists them, and how to get at them.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

kubeconfig=inventory/.quorate/kubernetes.kubeconfig
kubectl=vagrant/.lab/files/bin/kubectl
echo
"$kubectl" --kubeconfig "$kubeconfig" get nodes -o wide
echo
echo "kubeconfig: $PWD/$kubeconfig"
echo "kubectl:    $PWD/$kubectl"
echo "again: make lab   a host: make lab-ssh NODE=cp1   away with it: make lab-down"
