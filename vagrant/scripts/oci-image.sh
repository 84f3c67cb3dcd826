#!/usr/bin/env bash
# Packs a folder as an image archive that `ctr images import` reads: oci-image.sh NAME ROOTFS OUT.tar.zst [ENTRYPOINT [WORD...]]
# IMAGE_USER is whom it runs as: root, unless it is set.
# OCI layout with one layer. The layer is what is compressed well: a node keeps it as it came and writes less.
set -euo pipefail

name=$1 rootfs=$2 out=$3
shift 3
entrypoint=$(printf ',"%s"' "$@")
entrypoint=${entrypoint#,}
[ $# -gt 0 ] || entrypoint=
arch=$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/blobs/sha256"

# Same input, same bytes: no times, no owners, a fixed order.
pack() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner "$@"; }

# blob FILE: moves it to its place and prints `"digest":"...","size":N`
blob() {
    local digest size
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    size=$(stat -c %s "$1")
    mv "$1" "$work/blobs/sha256/$digest"
    printf '"digest":"sha256:%s","size":%s' "$digest" "$size"
}

pack -C "$rootfs" -cf "$work/layer" .
diff_id=$(sha256sum "$work/layer" | cut -d' ' -f1)
zstd -q -T0 -9 --rm "$work/layer" -o "$work/layer.zst"
layer=$(blob "$work/layer.zst")

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=%s"]%s%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$arch" "$path" "${entrypoint:+,\"Entrypoint\":[$entrypoint]}" "${IMAGE_USER:+,\"User\":\"$IMAGE_USER\"}" "$diff_id" >"$work/config"
config=$(blob "$work/config")

v1=application/vnd.oci.image
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json",%s},"layers":[{"mediaType":"%s.layer.v1.tar+zstd",%s}]}' \
    "$v1" "$v1" "$config" "$v1" "$layer" >"$work/manifest"
manifest=$(blob "$work/manifest")

printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[{"mediaType":"%s.manifest.v1+json",%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
    "$v1" "$v1" "$manifest" "$arch" "$name" "${name##*:}" >"$work/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci-layout"

pack -C "$work" -cf - oci-layout index.json blobs | zstd -q -1 -f -o "$out"
