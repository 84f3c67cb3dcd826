#!/usr/bin/env bash
# Builds one component from its Go modules and prints the folder with its static binaries: go-build.sh COMPONENT
# The result is kept under a key of everything that goes into it, so that a second call is a look-up.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

component=${1:?usage: go-build.sh COMPONENT}
source="$VAGRANT_DIR/kubernetes/$component"
command -v go >/dev/null || die "please install Go $(awk '$1 == "go" { print $2 }' "$source/go.mod") or newer: it builds $component"

ldflags="-s -w"
tags=""
packages=() # OUTPUT=PACKAGE
case "$component" in
kubernetes)
    v=v$KUBERNETES_VERSION
    x=k8s.io/component-base/version
    ldflags+=" -X $x.gitVersion=$v -X $x.gitMajor=$(echo "${v#v}" | cut -d. -f1) -X $x.gitMinor=$(echo "$v" | cut -d. -f2) -X $x.gitTreeState=clean"
    for name in kubeadm kubelet kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
        packages+=("$name=k8s.io/kubernetes/cmd/$name")
    done
    ;;
containerd)
    m=github.com/containerd/containerd/v2
    ldflags+=" -X $m/version.Version=$(module_version containerd $m)"
    tags=no_btrfs,no_zfs,no_devmapper,no_aufs
    for name in containerd containerd-shim-runc-v2 ctr; do packages+=("$name=$m/cmd/$name"); done
    ;;
etcd) packages=(etcd=go.etcd.io/etcd/server/v3 etcdctl=go.etcd.io/etcd/etcdctl/v3) ;;
coredns) packages=(coredns=github.com/coredns/coredns) ;;
pause) packages=(pause=quorate.lab/pause) ;;
*) die "no such component: $component" ;;
esac

mapfile -t inputs < <(find "$source" -type f | LC_ALL=C sort)
key=$({ cat "${inputs[@]}" && echo "$ldflags $tags ${packages[*]}" && cd "$source" && go env GOVERSION GOARCH; } | sha256sum | cut -c1-12)
out="$CACHE_DIR/go/$component-$key"
mkdir -p "$CACHE_DIR/go"
# One build at a time, also from another checkout: whoever comes second finds the result.
exec 9>"$out.lock"
flock 9
if [ ! -d "$out" ]; then
    partial="$out.partial"
    for package in "${packages[@]}"; do
        # One after the other: what they share is compiled once, and a linker needs gigabytes. GOGC: a fifth less work.
        (cd "$source" && GOGC=400 CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags "$tags" -ldflags "$ldflags" \
            -o "$partial/${package%%=*}" "${package#*=}") >&2
    done
    mv -T "$partial" "$out"
fi
echo "$out"
