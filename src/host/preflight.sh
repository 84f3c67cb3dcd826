# Asked once, before a host becomes a part of a cluster: whoever is one has passed this, and answers nothing.
probe_preflight() { # node|balancer [hosts:]endpoint's-name|- "ports" "modules"
  case $1 in
  node) for path in /etc/kubernetes/kubelet.conf /etc/kubernetes/bootstrap-kubelet.conf "$state/kubeadm"; do [ ! -e "$path" ] || return 0; done ;;
  *) [ ! -e /etc/keepalived/check_apiserver.sh ] || return 0 ;;
  esac
  say preflight asked
  preflight_name own "$(uname -n)"
  case $2 in
  -) ;;
  hosts:*) preflight_hosts "${2#hosts:}" ;;
  *) preflight_name endpoint "$2" ;;
  esac
  preflight_disks / /etc /usr/local/bin /var /var/lib/containerd /var/lib/etcd /var/lib/kubelet
  preflight_ports "$3"
  preflight_modules $4
  preflight_rest
  preflight_proxies
  preflight_firewall
}
# File system of each path: mount point, KiB in all, KiB free, and whether it can be written.
preflight_disks() {
  count=$#
  for path do
    while [ ! -d "$path" ]; do path=${path%/*}; path=${path:-/}; done
    set -- "$@" "$path"
  done
  paths=
  while [ "$count" -gt 0 ]; do
    paths="$paths $1"
    shift
    count=$((count - 1))
  done
  df -Pk "$@" 2>/dev/null | awk -v n="$nonce" -v paths="$paths" '
    BEGIN {
      split(paths, path, " ")
      while ((getline line < "/proc/self/mounts") > 0) { split(line, f, " "); how[f[2]] = f[4] }
    }
    NR > 1 { print n, "preflight disk", path[NR - 1], $(NF - 4), $(NF - 2), (how[$NF] ~ /^ro(,|$)/ ? "ro" : "rw"), $NF }'
}
# Who listens on one of the ports: the socket by its inode in /proc/net/tcp (proc(5)), the process by its descriptors.
preflight_ports() {
  tables=
  for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] && tables="$tables $table"
  done
  found=$(awk -v ports="$1" '
    BEGIN { ORS = ";"; count = split(ports, port, " "); for (i = 1; i <= count; i++) want[sprintf("%04X", port[i])] = port[i] }
    $4 == "0A" { split($2, at, ":"); if (at[2] in want) print want[at[2]], at[1], $10 }' $tables 2>/dev/null)
  [ -n "$found" ] || return 0
  # One listing for all processes: a line per descriptor, below a line with its folder's name.
  ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v n="$nonce" -v found="$found" '
    BEGIN { count = split(found, line, ";") - 1; for (i = 1; i <= count; i++) { split(line[i], f, " "); inode[f[3]] = 1 } }
    /^\/.*:$/ { split($0, part, "/"); for (i in part) if (part[i] == "fd:") pid = part[i - 1] }
    match($0, /socket:\[[0-9]+\]/) { s = substr($0, RSTART + 8, RLENGTH - 9); if (s in inode && !(s in owner)) owner[s] = pid }
    END { for (i = 1; i <= count; i++) { split(line[i], f, " "); print f[1], f[2], (f[3] in owner ? owner[f[3]] : "-") } }' |
    while read -r port address pid; do
      line=
      [ "$pid" = - ] || IFS= read -r line 2>/dev/null <"/proc/$pid/comm"
      say preflight port "$port" "$address" "$pid" "$line"
    done
}
preflight_modules() {
  command -v modprobe >/dev/null 2>&1 || return 0
  for name do
    has_module "$name" || modprobe -n -q -- "$name" >/dev/null 2>&1 || say preflight no-module "$name"
  done
}
# What the host itself makes of a name; busybox has no getent.
preflight_name() { # own|endpoint name
  command -v getent >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1 || return 0
  answer=$(timeout 2 getent ahosts "$2" </dev/null 2>/dev/null)
  case $? in
  0) say preflight name "$1" "$2" found $(printf '%s\n' "$answer" | awk '{ print $1 }' | sort -u) ;;
  124 | 143) say preflight name "$1" "$2" silent ;;
  *) say preflight name "$1" "$2" unknown ;;
  esac
}
# What /etc/hosts has of the endpoint's name, where it will be written there: it comes before any resolver.
preflight_hosts() { # name
  found=$(awk -v name="$1" '{ sub(/#.*/, ""); for (i = 2; i <= NF; i++) if ($i == name) print $1 }' /etc/hosts 2>/dev/null)
  if [ -n "$found" ]; then
    say preflight name endpoint "$1" found $found
  else
    say preflight name endpoint "$1" unknown
  fi
}
preflight_rest() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say preflight cgroup 2; elif [ -d /sys/fs/cgroup ]; then say preflight cgroup 1; fi
  { IFS= read -r line </sys/fs/selinux/enforce; } 2>/dev/null || line=0
  if [ "$line" = 1 ]; then
    say preflight selinux enforcing
    for name in haproxy_connect_any keepalived_connect_any; do
      { IFS= read -r line <"/sys/fs/selinux/booleans/$name"; } 2>/dev/null && say preflight boolean "$name" "${line%% *}"
    done
  fi
}
# Where a proxy is set for what systemd starts, and who is reached without it. A proxy's own address may hold a password: it
# stays here.
preflight_proxies() {
  systemctl show-environment 2>/dev/null | preflight_proxy systemd
  for unit in containerd kubelet; do
    systemctl show -p Environment -- "$unit.service" 2>/dev/null | tr ' ' '\n' | preflight_proxy "$unit"
  done
}
preflight_proxy() { # who
  sed 's/^Environment=//; s/^"//; s/"$//' | awk -v n="$nonce" -v who="$1" '
    { at = index($0, "="); name = tolower(substr($0, 1, at - 1)); value = substr($0, at + 1) }
    # What has special characters is shown as a shell would read it (systemctl(1), show-environment).
    substr(value, 1, 2) == "$\047" { value = substr(value, 3, length(value) - 3) }
    (name == "http_proxy" || name == "https_proxy") && value != "" { print n, "preflight proxy", who, name }
    name == "no_proxy" { print n, "preflight no-proxy", who, value }'
}
# The kernel's own rules, whoever wrote them, and who that probably is. Empty tables are not made by asking: of the old
# iptables only a table that is there is read.
preflight_firewall() {
  if systemctl is-active -q firewalld.service 2>/dev/null; then
    say preflight firewall firewalld
  elif grep -qi '^ENABLED=yes' /etc/ufw/ufw.conf 2>/dev/null; then
    say preflight firewall ufw
  fi
  if command -v nft >/dev/null 2>&1; then
    rules=$(nft -j list ruleset 2>/dev/null | head -c 262145)
    preflight_rules nft "$rules"
  fi
  # iptables-save is one of the other two, where they are there.
  programs=
  for program in iptables-nft-save iptables-legacy-save; do
    command -v "$program" >/dev/null 2>&1 && programs="$programs $program"
  done
  for program in ${programs:-iptables-save}; do
    case $program in iptables-legacy-save) [ -s /proc/net/ip_tables_names ] || continue ;; esac
    rules=$("$program" 2>/dev/null | sed -n '/^\*filter/,/^COMMIT/p' | head -c 262145)
    preflight_rules iptables "$rules"
  done
}
preflight_rules() { # kind text
  [ -n "$2" ] || return 0
  if [ ${#2} -gt 262144 ]; then
    say preflight long-rules "$1"
  else
    say preflight rules "$1" "$(printf '%s\n' "$2" | base64_line)"
  fi
}
