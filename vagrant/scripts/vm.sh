#!/bin/sh
# Runs in a virtual machine, not in a container: the lab's key and its users, as the node image has them. vm.sh PUBLIC-KEY
set -eu
[ -n "${1:-}" ] || { echo "no lab key yet: run vagrant/scripts/key.sh on your machine" >&2; exit 1; }
apt-get update -q && apt-get install -y -q --no-install-recommends sudo curl socat conntrack ethtool iptables jq
for user in vagrant pwuser nosudo; do
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
    install -d -m 700 -o "$user" -g "$user" "/home/$user/.ssh"
    grep -qxF "$1" "/home/$user/.ssh/authorized_keys" 2>/dev/null || echo "$1" >>"/home/$user/.ssh/authorized_keys"
    chown "$user:$user" "/home/$user/.ssh/authorized_keys"
done
# A lab value and nothing else.
echo 'pwuser:quorate-lab' | chpasswd
echo 'pwuser ALL=(ALL) ALL' >/etc/sudoers.d/pwuser
echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/lab.conf
systemctl reload ssh
swapoff -a
sed -i '/\sswap\s/d' /etc/fstab
