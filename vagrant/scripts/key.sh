#!/usr/bin/env bash
# Makes the lab's SSH key once per user (it is baked into the node image) and copies it into this checkout.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

key="$CACHE_DIR/key/id_ed25519"
if [ ! -s "$key.pub" ]; then
    command -v ssh-keygen >/dev/null || apt_packages openssh-client
    mkdir -p "$CACHE_DIR/key"
    chmod 700 "$CACHE_DIR/key"
    rm -f "$key"
    ssh-keygen -q -t ed25519 -N '' -C quorate-lab -f "$key"
fi
mkdir -p "$LAB_DIR"
cmp -s "$key" "$LAB_DIR/id_ed25519" || install -m 600 "$key" "$LAB_DIR/id_ed25519"
cmp -s "$key.pub" "$LAB_DIR/id_ed25519.pub" || install -m 644 "$key.pub" "$LAB_DIR/id_ed25519.pub"
