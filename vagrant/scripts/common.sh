# Sourced by the lab's scripts: places, names and small helpers.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the variables are for the scripts that source this file

VAGRANT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# What belongs to this checkout: links, known_hosts, a copy of the key.
LAB_DIR="$VAGRANT_DIR/.lab"
# What is costly to make and the same for every checkout of this user.
CACHE_DIR="${QUORATE_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/quorate-lab}"

# Debian's release on the hosts, unless a reset names another one, and in the images that the lab makes.
SUITE=bookworm

# module_version COMPONENT MODULE: as the component's go.mod has it
module_version() {
    awk -v m="$2" '$1 == m { print $2; exit } $1 == "require" && $2 == m { print $3; exit }' "$VAGRANT_DIR/kubernetes/$1/go.mod"
}
KUBERNETES_VERSION=$(module_version kubernetes k8s.io/kubernetes)
KUBERNETES_VERSION=${KUBERNETES_VERSION#v}

# The default of `kube_vip_version`.
KUBE_VIP_VERSION=v1.2.3

NETWORK=quorate-lab
SUBNET=10.77.0.0/24
GATEWAY=10.77.0.1
# Every container of a lab carries this label; its value is the checkout that owns it.
LABEL=quorate.lab
NODE_IMAGE=quorate-lab/node

# name address autostart
NODES="\
cp1 10.77.0.11 yes
cp2 10.77.0.12 yes
cp3 10.77.0.13 yes
w1 10.77.0.21 yes
w2 10.77.0.22 no
rt1 10.77.0.2 no
pk1 10.77.0.3 no
lb1 10.77.0.31 no
lb2 10.77.0.32 no"
VIP=10.77.0.100

# The lab talks to this machine's engine, whatever DOCKER_HOST says elsewhere.
export DOCKER_HOST="unix:///var/run/docker.sock"
export DEBIAN_FRONTEND=noninteractive

die() {
    printf 'lab: %s\n' "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E "$@"; fi
}

node_names() { printf '%s\n' "$NODES" | cut -d' ' -f1; }
node_ip() { printf '%s\n' "$NODES" | awk -v n="$1" '$1 == n { print $2 }'; }
container() { printf 'quorate-lab-%s\n' "$1"; }
container_running() { [ "$(docker inspect -f '{{.State.Running}}' "$(container "$1")" 2>/dev/null)" = true ]; }

# apt_packages NAME...: installs what is missing; refreshes the lists only when they are needed.
apt_packages() {
    local missing
    # shellcheck disable=SC2016  # dpkg-query's own format
    missing=$(comm -23 <(printf '%s\n' "$@" | sort) \
        <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' | sort))
    [ -z "$missing" ] && return 0
    command -v apt-get >/dev/null || die "please install: $(echo "$missing" | tr '\n' ' ')"
    # shellcheck disable=SC2086  # a list of words
    as_root apt-get install -y -q --no-install-recommends $missing >&2 ||
        { as_root apt-get update -q >&2 && as_root apt-get install -y -q --no-install-recommends $missing >&2; }
}

# key_of FILE...: a short name for the content of files.
key_of() { sha256sum "$@" | cut -d' ' -f1 | sha256sum | cut -c1-12; }
