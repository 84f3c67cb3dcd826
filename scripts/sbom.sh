#!/usr/bin/env bash
# What is in the release binary, as CycloneDX: target/quorate.cdx.json. Crates that only building or testing needs are not in it.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

# cargo-cyclonedx writes beside Cargo.toml and knows no --locked: a lock file that would change is refused before it.
cargo metadata --locked --format-version 1 >/dev/null
host=$(rustc -vV | sed -n 's/^host: //p')
trap 'rm -f sbom.tmp.json' EXIT
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) cargo cyclonedx --format json --target "$host" \
    --override-filename sbom.tmp --quiet
sbom=${CARGO_TARGET_DIR:-target}/quorate.cdx.json
mkdir -p "$(dirname "$sbom")"
mv sbom.tmp.json "$sbom"
echo "$sbom"
