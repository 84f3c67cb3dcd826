#!/usr/bin/env bash
# Prints the folder with a component's binaries, downloaded or built from its Go modules: component.sh COMPONENT
set -euo pipefail
scripts=$(dirname "$0")
"$scripts/download.sh" "$1" || exec "$scripts/go-build.sh" "$1"
