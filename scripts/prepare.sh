#!/usr/bin/env bash
# Installs what building and testing quorate need on a Debian machine. The lab's own scripts install docker, vagrant and
# debootstrap. Nothing to do, and silent, where all is there.
#   --tools   haproxy and keepalived too, whose own checks are asked about rendered files; neither is started
set -euo pipefail
# shellcheck source=../vagrant/scripts/common.sh
. "$(dirname "$(readlink -f "$0")")/../vagrant/scripts/common.sh"

# gcc and libc6-dev: ring and zstd have C in them. openssh-server, openssh-client, sudo: the wire ring's real sshd.
# busybox, dash: the shells that the scripts for hosts are tried under. zstd: the lab's image archives.
apt_packages gcc libc6-dev make git ca-certificates openssh-server openssh-client busybox dash zstd shellcheck curl

if [ "${1:-}" = --tools ]; then
    # Debian starts what it installs, unless this file says 101 (invoke-rc.d(8)).
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ] && ! { command -v haproxy && command -v keepalived; } >/dev/null; then
        trap 'as_root rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    apt_packages haproxy keepalived
fi

missing() { die "$1 is missing: $2"; }
command -v cargo >/dev/null || missing cargo "install Rust (https://rustup.rs), $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$VAGRANT_DIR/../Cargo.toml") or newer"
cargo fmt --version >/dev/null 2>&1 || missing rustfmt "rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || missing clippy "rustup component add clippy"
