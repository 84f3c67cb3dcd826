#!/usr/bin/env bash
# Makes the folder that quorate's `kubernetes_source: files` reads, and links it as vagrant/.lab/files. Prints its path.
#   bin/     kubeadm kubelet kubectl containerd containerd-shim-runc-v2 ctr runc
#   cni/     bridge host-local loopback portmap ptp
#   images/  one image per archive, under the names that this kubeadm asks for, and lab.quorate/{tools,keepalived,haproxy}:1
# Kept in the cache under a key of all that goes into it: a second call takes no time.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"
scripts="$VAGRANT_DIR/scripts"

mapfile -t inputs < <(find "$VAGRANT_DIR/kubernetes" "$scripts"/{files,component,download,go-build,oci-image,node-parts}.sh -type f | LC_ALL=C sort)
key=$({ cat "${inputs[@]}" && echo "$SUITE" && { go env GOVERSION GOARCH 2>/dev/null || uname -m; }; } | sha256sum | cut -c1-12)
files="$CACHE_DIR/files-$key"

mkdir -p "$CACHE_DIR"
exec 8>"$CACHE_DIR/files.lock"
flock 8
if [ ! -d "$files" ]; then
    apt_packages zstd
    partial="$files.partial"
    rm -rf "$partial"
    mkdir -p "$partial"/{bin,cni,images}

    parts=$(mktemp -d /var/tmp/quorate-lab.XXXXXX)
    trap 'rm -rf "$parts"' EXIT
    docker run --rm -i --dns "$(awk '$1 == "nameserver" { print $2; exit }' /etc/resolv.conf)" \
        "$NODE_IMAGE:current-$SUITE" bash -s <"$scripts/node-parts.sh" | tar -xf - -C "$parts"
    install -m 755 "$parts"/runc/usr/sbin/runc "$partial/bin/"
    for plugin in bridge host-local loopback portmap ptp; do
        install -m 755 "$parts/cni/usr/lib/cni/$plugin" "$partial/cni/"
    done

    kubernetes=$("$scripts/component.sh" kubernetes)
    containerd=$("$scripts/component.sh" containerd)
    etcd=$("$scripts/component.sh" etcd)
    cp "$kubernetes"/{kubeadm,kubelet,kubectl} "$containerd"/{containerd,containerd-shim-runc-v2,ctr} "$partial/bin/"

    # image NAME SHORT ENTRYPOINT [WORD...]: packs $parts/SHORT
    image() {
        mkdir -p "$parts/$2/tmp"
        chmod 1777 "$parts/$2/tmp"
        "$scripts/oci-image.sh" "$1" "$parts/$2" "$partial/images/$2.tar.zst" "${@:3}"
    }
    while read -r name; do
        short=${name##*/}
        short=${short%%:*}
        mkdir -p "$parts/$short/usr/local/bin"
        entrypoint="/usr/local/bin/$short"
        case "$short" in
        kube-proxy)
            cp -a "$parts/proxy/." "$parts/$short/"
            cp "$kubernetes/$short" "$parts/$short/usr/local/bin/"
            ;;
        kube-*) cp "$kubernetes/$short" "$parts/$short/usr/local/bin/" ;;
        etcd) cp "$etcd"/{etcd,etcdctl} "$parts/$short/usr/local/bin/" ;;
        coredns | pause)
            rm -r "${parts:?}/$short/usr"
            cp "$("$scripts/component.sh" "$short")/$short" "$parts/$short/"
            entrypoint="/$short"
            ;;
        *) die "kubeadm asks for an image that nothing here makes: $name" ;;
        esac
        image "$name" "$short" "$entrypoint"
    done < <("$kubernetes/kubeadm" config images list --kubernetes-version "v$KUBERNETES_VERSION")

    # A pod with a shell, wget, nslookup and httpd, for tests and for the lab's CNI. Limit wget by `timeout`: its own -T crashes
    # (not compiled in; Debian has it from 1.36.1-5 on).
    mkdir -p "$parts/lab-tools/bin"
    cp "$parts"/busybox/bin/busybox "$parts/lab-tools/bin/"
    for applet in $("$parts/lab-tools/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$parts/lab-tools/bin/$applet"
    done
    image lab.quorate/tools:1 lab-tools /bin/sh

    # For load_balancer: keepalived-haproxy-pods. They start as the images do that the kubeadm document names, which say nothing of
    # a command: with their files below /usr/local/etc, haproxy as a user of its own.
    image lab.quorate/keepalived:1 keepalived \
        /usr/sbin/keepalived --dont-fork --log-console --use-file=/usr/local/etc/keepalived/keepalived.conf
    IMAGE_USER=haproxy image lab.quorate/haproxy:1 haproxy \
        /usr/sbin/haproxy -W -db -f /usr/local/etc/haproxy/haproxy.cfg
    mv -T "$partial" "$files"
    find "$CACHE_DIR" -maxdepth 1 -name 'files-*' -mtime +14 ! -path "$files" -exec rm -rf {} +
fi
# Images that the lab cannot make itself, as archives that somebody has put into the cache: kube-vip's (its modules do not resolve
# by Go's own means). Where this machine can pull, they are pulled.
extra="$CACHE_DIR/images-extra"
kube_vip="ghcr.io/kube-vip/kube-vip:$KUBE_VIP_VERSION"
archive="$extra/kube-vip-$KUBE_VIP_VERSION.tar.zst"
if [ ! -e "$archive" ] && [ "$(cat "$CACHE_DIR/downloads/reachable" 2>/dev/null)" = yes ] && [ "${QUORATE_LAB_DOWNLOADS:-yes}" = yes ] &&
    docker pull -q "$kube_vip" >&2; then
    mkdir -p "$extra"
    docker save "$kube_vip" | zstd -q -f -o "$archive.partial" && mv "$archive.partial" "$archive"
fi
for archive in "$extra"/*.tar.zst; do
    if [ -e "$archive" ]; then cp -u "$archive" "$files/images/"; fi
done
mkdir -p "$LAB_DIR"
ln -sfn "$files" "$LAB_DIR/files"
echo "$files"
