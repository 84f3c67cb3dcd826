#!/usr/bin/env bash
# Builds the node image with debootstrap and docker, and prints its name: node-image.sh [SUITE]. Nothing to do when it is there
# already.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

SUITE=${1:-$SUITE}
key="$CACHE_DIR/key/id_ed25519.pub"
[ -s "$key" ] || die "no key yet: scripts/key.sh"
mapfile -t sources < <(find "$VAGRANT_DIR/node" -type f | LC_ALL=C sort)
# The week is part of the name: package lists older than that name packages that are gone from their source.
tag=$SUITE-$(key_of "$key" "${sources[@]}")-$(date -u +%G%V)
image="$NODE_IMAGE:$tag"
base="quorate-lab/base:$SUITE"

if ! docker image inspect "$image" >/dev/null 2>&1; then
    if ! docker image inspect "$base" >/dev/null 2>&1; then
        apt_packages debootstrap
        # This machine's own package source, where it is a Debian, of whichever release; else debootstrap's default.
        own=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
        # shellcheck disable=SC2016  # apt-get's own format
        mapfile -t mirrors < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
            awk -v own="$own" -v s="$SUITE" '$2 ~ "^" own "(-updates|-security)?$" && $3 == "main" { sub("^" own, s, $2); print $1, $2 }' | LC_ALL=C sort -u -k2,2)
        root=$(mktemp -d /var/tmp/quorate-lab.XXXXXX)
        trap 'as_root rm -rf "$root"' EXIT
        # shellcheck disable=SC2086  # no mirror is no argument
        as_root debootstrap --variant=minbase "$SUITE" "$root/fs" ${mirrors[0]:+${mirrors[0]%% *}} >"$root/log" 2>&1 ||
            { tail -20 "$root/log" >&2; die "debootstrap failed"; }
        for mirror in "${mirrors[@]}"; do printf 'deb %s main\n' "$mirror"; done >"$root/sources"
        if [ -s "$root/sources" ]; then as_root install -m 644 "$root/sources" "$root/fs/etc/apt/sources.list"; fi
        as_root rm -rf "$root/fs/var/cache/apt/archives" "$root/fs/var/lib/apt/lists"
        as_root mkdir -p "$root/fs/var/lib/apt/lists/partial" "$root/fs/var/cache/apt/archives/partial"
        as_root tar -C "$root/fs" -c . | docker import - "$base" >/dev/null
    fi
    context=$(mktemp -d)
    cp -r "$VAGRANT_DIR/node/." "$context"
    cp "$key" "$context/id_ed25519.pub"
    # The classic builder: the other one is not part of every engine.
    DOCKER_BUILDKIT=0 docker build -q --build-arg "BASE=$base" --build-arg "WEEK=${tag##*-}" -t "$image" "$context" >&2
    rm -rf "$context"
    docker image ls --format '{{.Repository}}:{{.Tag}}' "$NODE_IMAGE" | grep -F ":$SUITE-" | { grep -v -e "^$image$" -e ":current-" || true; } | xargs -r docker rmi >/dev/null 2>&1 || true
fi
docker tag "$image" "$NODE_IMAGE:current-$SUITE"
echo "$image"
