#!/usr/bin/env bash
# Makes a docker engine answer on this machine: installs Debian's and starts it where no service manager does.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

answers && exit 0
if ! command -v dockerd >/dev/null; then
    apt_packages docker.io
    answers && exit 0
fi
if [ -d /run/systemd/system ]; then
    as_root systemctl start docker
else
    log=/var/log/quorate-lab-dockerd.log
    # An engine that was killed leaves its numbers behind; another process may have them by now, and dockerd would wait for it.
    for of in /var/run/docker.pid:dockerd /var/run/docker/containerd/containerd.pid:containerd; do
        file=${of%%:*}
        [ -e "$file" ] || continue
        [ "$(cat "/proc/$(cat "$file")/comm" 2>/dev/null)" = "${of##*:}" ] || as_root rm -f "$file"
    done
    # In a session of its own, so that it outlives the shell that started the lab.
    as_root sh -c "setsid nohup dockerd >$log 2>&1 </dev/null &"
fi
for _ in $(seq 120); do
    answers && exit 0
    sleep 0.25
done
die "the docker engine does not answer on $DOCKER_HOST${log:+ (its log: $log)}"
