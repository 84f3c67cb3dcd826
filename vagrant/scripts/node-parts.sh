#!/bin/bash
# Runs in a container of the node image and writes a tar to its output: what the lab takes from Debian's packages.
#   runc/ cni/ busybox/   the packages, unpacked
#   proxy/                what kube-proxy calls, with the libraries these need and nothing else (the kernel loads its
#                         modules by the host's own modprobe)
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

# keep FILE...: copies files under their own names, following links on the way.
keep() {
    local file
    for file; do
        mkdir -p "proxy$(dirname "$file")"
        cp -L "$file" "proxy$file"
    done
}
lib=/usr/lib/$(uname -m)-linux-gnu
tools=(/usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi /usr/sbin/nft)
keep "${tools[@]}"
# Of the extensions only those that kube-proxy's rules name.
extensions=()
for name in addrtype comment conntrack mark MARK statistic recent nfacct set tcp udp sctp standard state \
    DNAT SNAT MASQUERADE REDIRECT REJECT; do
    for family in xt ipt ip6t; do
        [ -e "$lib/xtables/lib${family}_$name.so" ] && extensions+=("$lib/xtables/lib${family}_$name.so")
    done
done
keep "${extensions[@]}"
mapfile -t libraries < <(ldd "${tools[@]}" "${extensions[@]}" |
    awk '$2 == "=>" { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' | sort -u)
keep "${libraries[@]}"
for link in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "proxy/usr/sbin/$link"
    ln -s xtables-nft-multi "proxy/usr/sbin/${link/tables/tables-nft}"
    ln -s xtables-legacy-multi "proxy/usr/sbin/${link/tables/tables-legacy}"
done
# Debian's merged /usr: the loader is looked for in /lib64, programs in /sbin.
for directory in lib lib64 bin sbin; do
    if [ -d "proxy/$directory" ]; then
        mkdir -p "proxy/usr/$directory"
        cp -a "proxy/$directory/." "proxy/usr/$directory/"
        rm -rf "proxy/${directory:?}"
    fi
    ln -s "usr/$directory" "proxy/$directory"
    mkdir -p "proxy/usr/$directory"
done
mkdir -p proxy/etc proxy/run
cp /etc/protocols /etc/services proxy/etc/ 2>/dev/null || true
tar -cf - runc cni busybox proxy
