#!/usr/bin/env bash
# Fetches one component's official binaries, where the network allows it, and prints their folder: download.sh COMPONENT
# Ends with 1 where it does not: the caller builds them instead. QUORATE_LAB_DOWNLOADS=yes|no says so without a try.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

component=${1:?usage: download.sh COMPONENT}
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')

reachable() {
    local answer="$CACHE_DIR/downloads/reachable"
    [ -z "${QUORATE_LAB_DOWNLOADS:-}" ] || { [ "$QUORATE_LAB_DOWNLOADS" = yes ] && return 0 || return 1; }
    # One try a day, for all components.
    if [ -z "$(find "$answer" -mtime -1 2>/dev/null)" ]; then
        mkdir -p "$CACHE_DIR/downloads"
        if curl -fsSL --connect-timeout 3 --max-time 5 -o /dev/null "https://dl.k8s.io/v$KUBERNETES_VERSION/bin/linux/$arch/kubeadm.sha256"; then
            echo yes >"$answer"
        else
            echo no >"$answer"
        fi
    fi
    [ "$(cat "$answer")" = yes ]
}

# fetch URL FILE SUM-URL: the sum file holds a bare sum, or lines of `SUM  NAME`
fetch() {
    local sum
    sum=$(curl -fsSL --retry 2 "$3" | awk -v n="${1##*/}" 'NF == 1 || $2 == n || $2 == "*" n { print $1; exit }')
    curl -fsSL --retry 2 -o "$2" "$1"
    echo "$sum  $2" | sha256sum -c --quiet - || die "$1 does not match its checksum"
}

case "$component" in
kubernetes) v=v$KUBERNETES_VERSION ;;
containerd) v=$(module_version containerd github.com/containerd/containerd/v2) ;;
etcd) v=$(module_version etcd go.etcd.io/etcd/server/v3) ;;
coredns) v=$(module_version coredns github.com/coredns/coredns) ;;
*) exit 1 ;;
esac
out="$CACHE_DIR/downloads/$component-$v-$arch"
if [ ! -d "$out" ]; then
    reachable || exit 1
    partial="$out.partial"
    rm -rf "$partial"
    mkdir -p "$partial/bin"
    archive="$partial/archive.tar.gz"
    case "$component" in
    kubernetes)
        for name in kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
            url="https://dl.k8s.io/$v/bin/linux/$arch/$name"
            fetch "$url" "$partial/bin/$name" "$url.sha256"
        done
        ;;
    containerd)
        url="https://github.com/containerd/containerd/releases/download/$v/containerd-${v#v}-linux-$arch.tar.gz"
        fetch "$url" "$archive" "$url.sha256sum"
        tar -xzf "$archive" -C "$partial"
        ;;
    etcd)
        url="https://github.com/etcd-io/etcd/releases/download/$v"
        fetch "$url/etcd-$v-linux-$arch.tar.gz" "$archive" "$url/SHA256SUMS"
        tar -xzf "$archive" -C "$partial/bin" --strip-components=1
        ;;
    coredns)
        url="https://github.com/coredns/coredns/releases/download/$v/coredns_${v#v}_linux_$arch.tgz"
        fetch "$url" "$archive" "$url.sha256"
        tar -xzf "$archive" -C "$partial/bin"
        ;;
    esac
    chmod -R a+rx "$partial/bin"
    rm -rf "$out"
    mv -T "$partial/bin" "$out"
    rm -rf "$partial"
fi
echo "$out"
