#!/bin/bash
# Runs in a container of the node image and writes a tar to its output: what the lab takes from Debian's packages.
#   runc/ cni/ busybox/    the packages, unpacked
#   proxy/                 what kube-proxy calls (the kernel loads its modules by the host's own modprobe)
#   keepalived/ haproxy/   the load balancer as static pods; keepalived with the shell and the curl of its check
# The last three hold these programs with the libraries that they need, and nothing else.
set -euo pipefail

work=$(mktemp -d)
chmod 755 "$work" && chown _apt "$work"
cd "$work"
fetch() {
    apt-get download -qq "$1" >&2 || { apt-get update -qq >&2 && apt-get download -qq "$1" >&2; }
    dpkg-deb -x "$1"_*.deb "$2"
    rm "$1"_*.deb
}
fetch runc runc
fetch containernetworking-plugins cni
fetch busybox-static busybox

# keep FOLDER FILE...: copies files under their own names, following links on the way; what was unpacked below `more` as if it
# lay at /.
keep() {
    local into=$1 file name
    shift
    for file; do
        name=${file#"$work/more"}
        mkdir -p "$into$(dirname "$name")"
        cp -L "$file" "$into$name"
    done
}
lib=/usr/lib/$(uname -m)-linux-gnu
# libraries FILE...: the loader's own word on what programs and libraries need.
libraries() {
    LD_LIBRARY_PATH="$work/more$lib:$work/more${lib#/usr}" ldd "$@" |
        awk '$2 == "=>" { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u
}
# rooted FOLDER: Debian's merged /usr: the loader is looked for in /lib64, programs in /sbin. And folders to write in.
rooted() {
    local directory
    for directory in lib lib64 bin sbin; do
        if [ -d "$1/$directory" ]; then
            mkdir -p "$1/usr/$directory"
            cp -a "$1/$directory/." "$1/usr/$directory/"
            rm -rf "${1:?}/$directory"
        fi
        ln -s "usr/$directory" "$1/$directory"
        mkdir -p "$1/usr/$directory"
    done
    mkdir -p "$1/etc" "$1/run" "$1/var"
    ln -s ../run "$1/var/run"
}

tools=(/usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi /usr/sbin/nft)
# Of the extensions only those that kube-proxy's rules name.
extensions=()
for name in addrtype comment conntrack mark MARK statistic recent nfacct set tcp udp sctp standard state \
    DNAT SNAT MASQUERADE REDIRECT REJECT; do
    for family in xt ipt ip6t; do
        [ -e "$lib/xtables/lib${family}_$name.so" ] && extensions+=("$lib/xtables/lib${family}_$name.so")
    done
done
mapfile -t needed < <(libraries "${tools[@]}" "${extensions[@]}")
keep proxy "${tools[@]}" "${extensions[@]}" "${needed[@]}"
for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "proxy/usr/sbin/$link"
    ln -s xtables-nft-multi "proxy/usr/sbin/${link/tables/tables-nft}"
    ln -s xtables-legacy-multi "proxy/usr/sbin/${link/tables/tables-legacy}"
done
rooted proxy
cp /etc/protocols /etc/services proxy/etc/ 2>/dev/null || true

# Unpacked and not installed: nothing here shall start them.
mkdir -p debs/partial && chown _apt debs/partial
packages() {
    apt-get install -y -qq --download-only --no-install-recommends -o "Dir::Cache::archives=$work/debs" keepalived haproxy >&2
}
packages || { apt-get update -qq >&2 && packages; }
for package in debs/*.deb; do dpkg-deb -x "$package" more; done
mapfile -t needed < <(libraries "$work/more/usr/sbin/keepalived" /usr/bin/curl /usr/bin/dash)
keep keepalived "$work/more/usr/sbin/keepalived" /usr/bin/curl /usr/bin/dash "${needed[@]}"
ln -s dash keepalived/usr/bin/sh
mapfile -t needed < <(libraries "$work/more/usr/sbin/haproxy")
keep haproxy "$work/more/usr/sbin/haproxy" "${needed[@]}"
for image in keepalived haproxy; do
    rooted "$image"
    # haproxy's number is that of the official image.
    printf 'root:x:0:0:root:/:/bin/sh\nhaproxy:x:99:99::/:/bin/false\n' >"$image/etc/passwd"
    printf 'root:x:0:\nhaproxy:x:99:\n' >"$image/etc/group"
done
tar -cf - runc cni busybox proxy keepalived haproxy
