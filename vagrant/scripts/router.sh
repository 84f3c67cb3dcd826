#!/usr/bin/env bash
# Makes rt1 the router that load_balancer: kube-vip-bgp announces the VIP to, and says what it knows: router.sh [NODE...]
# The nodes named, or all that run, and this machine ask for the VIP there and nowhere else. Again at each reset of a node.
# Debian's bird2, with as many ways to the VIP as there are control planes that announce it.
set -euo pipefail
# shellcheck source=common.sh
. "$(dirname "$0")/common.sh"

router=$(container rt1)
address=$(node_ip rt1)
control_planes=$(node_names | grep '^cp')

bird_conf() {
    cat <<CONF
# Written by vagrant/scripts/router.sh.
router id $address;
protocol device { scan time 1; }
protocol kernel {
    # Every node that announces the VIP, and not the best alone.
    merge paths on;
    ipv4 { import none; export all; };
}
protocol bfd {
    interface "eth0" { interval 300 ms; multiplier 3; };
CONF
    # Persistent sessions: without them a node that was frozen never comes back.
    for node in $control_planes; do
        printf '    neighbor %s dev "eth0" local %s;\n' "$(node_ip "$node")" "$address"
    done
    printf '}\n'
    for node in $control_planes; do
        cat <<CONF
protocol bgp $node {
    local $address as 65001;
    neighbor $(node_ip "$node") as 65000;
    # kube-vip dials: what bird tries itself is refused, and must not keep it waiting.
    error wait time 1, 5;
    connect retry time 2;
    bfd on;
    ipv4 { import all; export none; };
}
CONF
    done
}

# Nobody may answer for the VIP on the wire: kube-vip has it on lo, and it lies in the nodes' own network.
route_node() { # NODE
    docker exec "$(container "$1")" sh -c "
        sysctl -q -w net.ipv4.conf.all.arp_ignore=1
        ip route replace $VIP/32 via $address"
}

if [ $# -gt 0 ]; then
    for node; do [ "$node" = rt1 ] || route_node "$node"; done
    exit
fi
# As a bare host has it, the package comes from the distribution.
docker exec "$router" sh -c '
    command -v bird >/dev/null || apt-get install -y -q --no-install-recommends bird2 ||
        { apt-get update -q && apt-get install -y -q --no-install-recommends bird2; }' >&2
bird_conf | docker exec -i "$router" sh -c '
    sysctl -q -w net.ipv4.ip_forward=1
    # By address and port: one connection stays with one node. And nobody is told of a shorter way.
    sysctl -q -w net.ipv4.fib_multipath_hash_policy=1
    sysctl -q -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
    cat >/etc/bird/bird.conf && bird -p -c /etc/bird/bird.conf && systemctl restart bird'
for node in $(docker ps --filter "label=$LABEL" --format "{{.Label \"$LABEL.node\"}}" | sort); do
    [ "$node" = rt1 ] || route_node "$node"
done
as_root ip route replace "$VIP/32" via "$address"
echo "rt1 $address, AS 65001; $VIP/32 leads there"
