#!/usr/bin/env bash
# Figures for docs/benchmarks.md: bench.sh plan (a plan without changes) or bench.sh all (a bootstrap from bare before it).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

RUNS=${RUNS:-10}
quorate=${CARGO_TARGET_DIR:-target}/release/quorate
common=(-i inventory/lab --known-hosts vagrant/.lab/known_hosts --color never)
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# measure COMMAND...: runs it, leaves its output in $output, wall seconds in $seconds and the most memory (MiB) in $peak.
measure() {
    local start=$EPOCHREALTIME pid now status
    "$quorate" "$@" >"$output" 2>&1 &
    pid=$!
    peak=0
    # Until the process is gone; a zombie has no VmHWM.
    while now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
        peak=$now
        sleep 0.02
    done
    wait "$pid" && status=0 || status=$?
    seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f", b - a }')
    peak=$((peak / 1024))
    [ "$status" = 0 ] || { cat "$output"; echo "exit $status: quorate $*" >&2; exit 1; }
}

echo "date:     $(date -u +%F)   commit: $(git rev-parse --short HEAD)"
echo "machine:  $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load $(cut -d' ' -f1 /proc/loadavg)"
echo "binary:   $(stat -c %s "$quorate" | awk '{ printf "%.1f MB", $1 / 1e6 }')"

if [ "${1:-plan}" = all ]; then
    vagrant/lab reset >/dev/null
    rm -f inventory/.quorate/*.kubeconfig
    measure apply "${common[@]}"
    echo "bootstrap: $seconds s, controller's peak $peak MiB"
    tail -n 8 "$output" | sed 's/^/    /'
    measure apply "${common[@]}"
    echo "apply again: $seconds s, peak $peak MiB"
fi

all=()
for _ in $(seq "$RUNS"); do
    measure plan "${common[@]}"
    all+=("$seconds")
done
printf '%s\n' "${all[@]}" | sort -n | awk -v peak="$peak" '
    { t[NR] = $1 }
    END {
        median = NR % 2 ? t[(NR + 1) / 2] : (t[NR / 2] + t[NR / 2 + 1]) / 2
        printf "plan without changes: median %.3f s of %d runs (%.3f to %.3f), peak %d MiB\n", median, NR, t[1], t[NR], peak
    }'
