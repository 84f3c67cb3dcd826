#!/usr/bin/env bash
# Prints the `docker run` flags that make a container look like a host, one per line: node-flags.sh NODE
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

node=${1:?usage: node-flags.sh NODE}
ip=$(node_ip "$node")
[ -n "$ip" ] || die "no such node: $node"

# --dns of `vagrant/lab up`, else what this machine itself uses. Never a loopback address: CoreDNS sees a loop there and exits.
nameservers() {
    if [ -s "$LAB_DIR/dns" ]; then
        cat "$LAB_DIR/dns"
    else
        for file in /run/systemd/resolve/resolv.conf /etc/resolv.conf; do [ -r "$file" ] && cat "$file"; done |
            awk '$1 == "nameserver" && $2 !~ /^(127\.|::1)/ && !seen[$2]++ && n++ < 3 { print $2 }'
    fi
}

dns=$(nameservers | paste -sd' ' -)
flags=(
    "--hostname=$node"
    "--network=$NETWORK"
    "--ip=$ip"
    "--label=$LABEL=$VAGRANT_DIR"
    "--label=$LABEL.node=$node"
    # A node comes back by itself when the engine or the machine does, and after `reboot` inside it.
    --restart=always
    --cgroupns=private
    --stop-signal=SIGRTMIN+3
    --stop-timeout=20
    --security-opt=seccomp=unconfined
    --security-opt=apparmor=unconfined
    --security-opt=systempaths=unconfined
    --device=/dev/kmsg
    --device=/dev/fuse
    --tmpfs=/run
    --tmpfs=/tmp:exec
    # Overlay file systems do not stack; etcd wants a disk.
    --volume=/var/lib/containerd
    --volume=/var/lib/kubelet
    --volume=/var/lib/etcd
    "--env=LAB_DNS=$dns"
)

# CAP_SYS_RESOURCE is number 24. Without it `--privileged` cannot be given, and the rest of the list does.
effective=$(awk '$1 == "CapBnd:" { print $2 }' /proc/1/status)
if (((16#$effective >> 24) & 1)); then
    flags+=(--privileged)
else
    # Privileged pods (kube-proxy) set devices.allow, which needs the rule on the node itself.
    flags+=("--device-cgroup-rule=a *:* rwm")
    for cap in CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE \
        NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE \
        SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP \
        MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ; do
        flags+=("--cap-add=$cap")
    done
fi
printf '%s\n' "${flags[@]}"
