# Every question is read-only: no redirection to a file, no command that writes. tests/pure/probe.rs holds it to that.
probe_system() {
  os= os_like= os_version=
  if [ -r /etc/os-release ]; then
    os=$(. /etc/os-release; printf '%s|%s|%s' "${ID-}" "${ID_LIKE-}" "${VERSION_ID-}")
  fi
  say system os "$os"
  me=$(id -u)
  say system user "$me"
  # uname prints name, release, machine in this order whatever is asked first.
  set -- $(uname -nrm)
  say system uname "${3-}" "${2-}" "${1-}"
  [ -r /etc/machine-id ] && IFS= read -r line </etc/machine-id && say system machine_id "$line"
  { IFS= read -r line </sys/class/dmi/id/product_uuid; } 2>/dev/null && say system product_uuid "$line"
  say system processors "$(grep -c '^processor' /proc/cpuinfo)"
  say system memory "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
  say system free "$(df -Pk /var 2>/dev/null | awk 'NR == 2 { print $4 }')"
  say system clock "$(date +%s)"
  for manager in apt-get dnf yum zypper; do
    command -v "$manager" >/dev/null 2>&1 && { say system packages "$manager"; break; }
  done
  [ -d /run/systemd/system ] && say system systemd
  ip -o address show 2>/dev/null | awk -v n="$nonce" '$3 == "inet" || $3 == "inet6" { print n, "address", $2, $4 }'
  for link in /sys/class/net/*/address; do
    { IFS= read -r line <"$link"; } 2>/dev/null && say link-address "$line"
  done
  for link in /sys/class/net/*/operstate; do
    { IFS= read -r line <"$link"; } 2>/dev/null || continue
    link=${link%/operstate}
    case $line in down | lowerlayerdown | notpresent) say down "${link##*/}" ;; esac
  done
  for marker in "$state"/handlers/*; do
    [ -e "$marker" ] && say pending "${marker##*/}"
  done
}
probe_files() {
  stat -c "$nonce stat %f %s %U %G %u %g %n" -- "$@" 2>/dev/null
  for path do
    [ -L "$path" ] && say link "$path" "$(readlink -- "$path" | base64_line)"
  done
}
probe_sums() {
  count=$#
  for path do
    [ -f "$path" ] && set -- "$@" "$path"
  done
  shift "$count"
  [ $# -gt 0 ] && sha256sum -- "$@" 2>/dev/null | sed "s/^/$nonce sum /"
}
# A large file's digest is taken from quorate's record while inode, size, mtime and ctime are those of the record.
probe_large() {
  count=$#
  for path do
    [ -f "$path" ] && set -- "$@" "$path"
  done
  shift "$count"
  [ $# -gt 0 ] || return 0
  # One process for all: a record's line is the digest and what stat says here; of two the last counts.
  answers=$(stat -c '%i %s %Y %Z %n' -- "$@" | awk -v n="$nonce" -v record="$state/sums" '
    BEGIN { while ((getline line < record) > 0) { at = index(line, " "); sums[substr(line, at + 1)] = substr(line, 1, at - 1) } }
    { key = $0; sub(/^[0-9]+ [0-9]+ [0-9]+ [0-9]+ /, ""); if (key in sums) print n, "sum", sums[key] "  " $0; else print }')
  whole=$IFS
  IFS='
'
  set -f
  set -- $answers
  set +f
  IFS=$whole
  count=$#
  for line do
    case $line in
    "$nonce sum "*) printf '%s\n' "$line" ;;
    *) set -- "$@" "$line" ;;
    esac
  done
  shift "$count"
  [ $# -gt 0 ] && probe_sums "$@"
}
probe_content() {
  for path do
    # Whoever may write beside a link, or into a folder on the way, says whose content this would be.
    [ -f "$path" ] && [ ! -L "$path" ] && (content_of "$path")
  done
}
content_of() {
  enter_above "$1" >/dev/null 2>&1 || return
  name=./${1##*/}
  set -- $(stat -c '%u %g %a %s' -- . "$name" 2>/dev/null)
  [ "${8-262145}" -le 262144 ] || return
  if ours "$1" "$2" "$3"; then
    [ -f "$name" ] && [ ! -L "$name" ] && say content "$path" "$(base64_line <"$name")"
    return
  fi
  # Neither followed nor waited for, whatever it has become; what dd says with a blank in it is no base64.
  content=$({ { dd if="$name" iflag=nofollow,nonblock,fullblock bs=262144 count=1 status=none || echo 'no dd' >&6; } | base64_line; } 6>&1 2>/dev/null)
  case $content in
  # A dd that cannot: what was opened has to be what lies there.
  *' '*) content=$(exec 6<"$name" && [ "$(stat -L -c '%d %i' /dev/fd/6)" = "$(stat -c '%d %i' -- "$name")" ] && base64_line <&6) 2>/dev/null || return ;;
  esac
  say content "$path" "$content"
}
probe_packages() {
  if command -v dpkg-query >/dev/null 2>&1; then
    dpkg-query -W -f "$nonce"' package ${Package} ${db:Status-Abbrev}|${Version}\n' "$@" 2>/dev/null
  elif command -v rpm >/dev/null 2>&1; then
    rpm -q --qf "$nonce"' package %{NAME} ii |%{VERSION}-%{RELEASE}\n' "$@" 2>/dev/null | grep "^$nonce package "
  fi
}
probe_units() {
  systemctl show -p LoadState -p ActiveState -p UnitFileState -p NeedDaemonReload -- "$@" 2>/dev/null | sed "s/^/$nonce unit /"
}
probe_sysctls() {
  for key do
    [ -r "/proc/sys/$key" ] && say sysctl "$key" "$(tr -s '[:space:]' ' ' <"/proc/sys/$key")"
  done
}
has_module() { # name
  file=$(printf '%s' "$1" | tr - _)
  builtin=/lib/modules/$(uname -r)/modules.builtin
  [ -d "/sys/module/$file" ] || { [ -r "$builtin" ] && tr - _ <"$builtin" | grep -q "/$file\.ko"; }
}
probe_modules() {
  for name do
    has_module "$name" && say module "$name"
  done
}
# passwd(5) and group(5), from wherever the host has them; busybox has no getent.
entry() { # passwd|group name
  if command -v getent >/dev/null 2>&1; then getent "$1" "$2"; else grep "^$2:" "/etc/$1"; fi
}
probe_users() {
  for name do
    line=$(entry passwd "$name" 2>/dev/null) || continue
    say user "$name" "$(printf '%s' "$line" | base64_line)" "$(id -gn "$name" | base64_line)" "$(id -Gn "$name" | base64_line)"
  done
}
probe_groups() {
  for name do
    line=$(entry group "$name" 2>/dev/null) || continue
    line=${line#*:*:}
    say group "$name" "${line%%:*}"
  done
}
probe_mounts() {
  for path do
    # What was mounted last is what is seen.
    line=$(awk -v p="$path" '$2 == p { source = $1; kind = $3 } END { if (kind) print kind, source }' /proc/self/mounts 2>/dev/null)
    [ -n "$line" ] && say mount "$path" "$(printf '%s' "${line#* }" | base64_line)" "${line%% *}"
  done
}
probe_swap() { tail -n +2 /proc/swaps 2>/dev/null | awk -v n="$nonce" '{ print n, "swap", $1 }'; say swaps-listed; }
probe_images() {
  command -v ctr >/dev/null 2>&1 || return 0
  images=$(ctr --connect-timeout 2s --timeout 10s -n k8s.io images ls -q 2>/dev/null) || return 0
  printf '%s\n' "$images" | sed "s/^/$nonce image /"
  say images-listed
}
# Static pods by the labels that the kubelet gives their containers; what runs has a task.
probe_pods() {
  command -v ctr >/dev/null 2>&1 || return 0
  tasks=$(ctr --connect-timeout 2s --timeout 10s -n k8s.io tasks ls 2>/dev/null) || return 0
  for pod do
    filter="labels.\"io.cri-containerd.kind\"==container,labels.\"io.kubernetes.pod.namespace\"==kube-system,labels.\"io.kubernetes.pod.name\"==\"$pod\""
    for id in $(ctr --connect-timeout 2s --timeout 10s -n k8s.io containers ls -q "$filter" 2>/dev/null); do
      printf '%s\n' "$tasks" | grep -q "^$id .*RUNNING" && { say pod "$pod"; break; }
    done
  done
  say pods-listed
}
probe_ports() {
  tables=
  for table in /proc/net/tcp /proc/net/tcp6; do
    [ -r "$table" ] && tables="$tables $table"
  done
  for port do
    hex=$(printf '%04X' "$port")
    grep -qE "^ *[0-9]+: [0-9A-F]+:$hex [0-9A-F]+:0000 0A " $tables && say port "$port"
  done
}
# One connect makes the kernel ask who has the address (ARP, RFC 826; neighbour discovery, RFC 4861). An old entry of the
# neighbour table proves nothing: the connect has to be answered, if only by a refusal, or the entry to be confirmed.
probe_claimed() {
  [ ! -e /etc/kubernetes/pki/ca.crt ] || return 0
  [ -z "$(ip -o address show to "$1" 2>/dev/null)" ] || return 0
  if command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then
    timeout 0.5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
    [ $? -ne 124 ] && answered=yes || answered=no
  elif command -v curl >/dev/null 2>&1; then
    curl -s --noproxy '*' --max-time 0.5 -o /dev/null "telnet://$1:$2" </dev/null >/dev/null 2>&1
    [ $? -ne 28 ] && answered=yes || answered=no
  else
    return 0
  fi
  ip neigh show to "$1" 2>/dev/null | awk -v n="$nonce" -v answered="$answered" '
    { for (i = 1; i < NF; i++) if ($i == "lladdr" && (answered == "yes" || $NF == "REACHABLE")) { print n, "claimed", $(i + 1); exit } }'
}
# kube-vip dials and does not listen: the port is the peer's.
probe_sessions() {
  command -v ss >/dev/null 2>&1 || return 0
  for peer do
    case $peer in
    *:*) found=$(ss -Htn state established dport = :179 dst "[$peer]" 2>/dev/null) || return 0 ;;
    *) found=$(ss -Htn state established dport = :179 dst "$peer" 2>/dev/null) || return 0 ;;
    esac
    if [ -n "$found" ]; then
      say session "$peer" up
    elif bad_as "$peer"; then
      say session "$peer" as
    else
      say session "$peer" down
    fi
  done
}
# With the cluster's CA the API behind it is asked, before there is one a connect has to do.
probe_endpoint() {
  if command -v getent >/dev/null 2>&1 && ! getent ahosts "$1" >/dev/null 2>&1; then
    say endpoint unresolved
  elif [ -f /etc/kubernetes/pki/ca.crt ] && command -v curl >/dev/null 2>&1; then
    code=$(curl -s --noproxy '*' --connect-timeout 2 --max-time 4 --cacert /etc/kubernetes/pki/ca.crt -o /dev/null -w '%{http_code}' "https://$3/healthz" </dev/null 2>/dev/null)
    say endpoint curl $? "${code:-000}"
  elif command -v bash >/dev/null 2>&1 && command -v timeout >/dev/null 2>&1; then
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>/dev/null
    say endpoint connect $?
  fi
}
# Passes curl's own lines on and marks what a server said, so that it can forge no line of ours.
bodies() { awk -v n="$nonce" 'index($0, n " http ") == 1 { print; next } length { print n " body " $0 }'; }
# What kubeadm wrote. A manifest that is byte for byte as it was made is not sent.
probe_written() {
  for component in kube-apiserver kube-controller-manager kube-scheduler etcd; do
    manifest=/etc/kubernetes/manifests/$component.yaml
    made=$state/manifests/$component.yaml
    [ -f "$manifest" ] && [ "$(stat -c %s -- "$manifest")" -le 262144 ] || continue
    if ! [ -f "$made" ]; then
      say kubernetes manifest "$component" "$(base64_line <"$manifest")"
    elif cmp -s "$manifest" "$made"; then
      say kubernetes manifest "$component" =
    else
      say kubernetes manifest "$component" "$(base64_line <"$manifest")" "$(base64_line <"$made")"
    fi
  done
  { IFS= read -r line <"$state/manifests/made-from"; } 2>/dev/null && say kubernetes made-from "$line"
  [ -f /var/lib/kubelet/config.yaml ] && [ "$(stat -c %s /var/lib/kubelet/config.yaml)" -le 262144 ] &&
    say kubernetes kubelet-config "$(base64_line </var/lib/kubelet/config.yaml)"
  { IFS= read -r line </var/lib/kubelet/kubeadm-flags.env; } 2>/dev/null && say kubernetes kubelet-flags "$line"
  return 0
}
# What an administrator has added to the services that quorate sets up (systemctl edit; kubeadm's drop-in reads the last two).
# A name that is none of ours could forge a line.
printable() { printf %s "$1" | tr -c ' -~' '?'; }
probe_additions() {
  for path in /etc/systemd/system/kubelet.service.d/* /etc/systemd/system/containerd.service.d/* \
    /etc/systemd/system/haproxy.service.d/* /etc/systemd/system/keepalived.service.d/*; do
    case ${path##*/} in
    *.conf) grep -q 'Written by quorate' "$path" 2>/dev/null || { [ -f "$path" ] && say addition "$(printable "$path")"; } ;;
    esac
  done
  for path in /etc/default/kubelet /etc/sysconfig/kubelet; do
    grep -q '^ *KUBELET_EXTRA_ARGS=["'"'"' ]*[^"'"'"' ]' "$path" 2>/dev/null && say addition "$path"
  done
  return 0
}
probe_kubernetes() {
  own=$1
  port=$2
  name=$3
  pki=/etc/kubernetes/pki
  [ -f "$pki/ca.crt" ] && say kubernetes ca "$(sha256sum <"$pki/ca.crt")"
  for path in /etc/kubernetes/kubelet.conf /etc/kubernetes/bootstrap-kubelet.conf /etc/kubernetes/admin.conf /etc/kubernetes/manifests/kube-apiserver.yaml \
    /etc/kubernetes/manifests/etcd.yaml /etc/kubernetes/manifests/kube-controller-manager.yaml \
    /etc/kubernetes/manifests/kube-scheduler.yaml /var/lib/etcd/member /var/lib/kubelet/config.yaml; do
    [ -e "$path" ] && say kubernetes trace "$path"
  done
  # The kubelet starts every file that does not begin with a dot.
  for path in /etc/kubernetes/manifests/*; do
    case ${path##*/} in
    *.yaml | *.yml | *.json) ;;
    *) [ -f "$path" ] && say kubernetes copy "$(printable "$path")" ;;
    esac
  done
  # A manifest that the kubelet cannot read starts nothing. A process has 15 letters of its name (proc(5), /proc/PID/comm), and others
  # have the same: the first word of its command line is whole.
  if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ]; then
    for process in $(grep -lx -e kube-controller -e kube-scheduler /proc/[0-9]*/comm 2>/dev/null); do
      word=$(tr '\0' '\n' 2>/dev/null <"${process%/comm}/cmdline" | head -n 1)
      case ${word##*/} in kube-controller-manager | kube-scheduler) say kubernetes process "${word##*/}" ;; esac
    done
  fi
  # Which node the host is, by the certificate that its kubelet speaks to the cluster with; its key is in the same file.
  if [ -f /etc/kubernetes/kubelet.conf ]; then
    say kubernetes server "$(sed -n 's/^ *server: *//p' /etc/kubernetes/kubelet.conf | head -n 1)"
    if [ -f /var/lib/kubelet/pki/kubelet-client-current.pem ]; then
      say kubernetes kubelet "$(sed -n '/-BEGIN CERTIFICATE-/,/-END CERTIFICATE-/p' /var/lib/kubelet/pki/kubelet-client-current.pem | base64_line)"
    else
      say kubernetes node "$(sed -n 's/^ *user: *"\{0,1\}system:node:\([^"]*\).*/\1/p' /etc/kubernetes/kubelet.conf | head -n 1)"
    fi
  fi
  [ -f /etc/kubernetes/manifests/kube-apiserver.yaml ] &&
    say kubernetes port "$(sed -n 's/^ *- *--secure-port=\([0-9]*\).*/\1/p' /etc/kubernetes/manifests/kube-apiserver.yaml | head -n 1)"
  [ -f "$state/kubeadm" ] && say kubernetes marker "$(head -n 1 "$state/kubeadm")"
  case $(systemctl is-active quorate-kubeadm.service 2>/dev/null) in
  active | activating | reloading) say kubernetes running ;;
  esac
  # What quorate signed for kube-vip: two certificates of it, never the key, and which rights it was given.
  if [ -f /etc/kubernetes/kube-vip.conf ]; then
    set --
    for field in 'certificate-authority-data: *' 'client-certificate-data: *' '# quorate: rights '; do
      value=$(sed -n "s/^ *$field//p" /etc/kubernetes/kube-vip.conf | head -n 1)
      set -- "$@" "${value:--}"
    done
    say kubernetes kubeconfig "$@"
  fi
  [ -f "$pki/apiserver.crt" ] && say kubernetes certificate "$(base64_line <"$pki/apiserver.crt")"
  probe_written
  command -v curl >/dev/null 2>&1 || return 0
  if ! [ -f /etc/kubernetes/manifests/kube-apiserver.yaml ] || ! [ -f "$pki/apiserver-kubelet-client.key" ]; then
    # A kubelet may read its own Node (kubernetes.io, Using Node Authorization).
    server=$(sed -n 's/^ *server: *//p' /etc/kubernetes/kubelet.conf 2>/dev/null | head -n 1)
    [ -n "$server" ] && [ -f /var/lib/kubelet/pki/kubelet-client-current.pem ] || return 0
    curl -s --noproxy '*' --connect-timeout 1 --max-time 2 --cacert "$pki/ca.crt" --cert /var/lib/kubelet/pki/kubelet-client-current.pem \
      -w "\n$nonce http node %{http_code}\n" "$server/api/v1/nodes/$name?pretty=false" 2>/dev/null </dev/null | bodies
    return 0
  fi
  api="https://$own:$port"
  set -- -s --noproxy '*' --connect-timeout 2 --max-time 5
  # One process, which ends at the first question that gets no answer in time: a connection is made once for each certificate. The API server's own kubelet client may list nodes
  # (ClusterRole system:kubelet-api-admin), the node's may read kubeadm-config and kubelet-config (Roles
  # kubeadm:nodes-kubeadm-config, kubeadm:kubelet-config), and what a pod on it mounts, such as kube-proxy's ConfigMap.
  maps=$api/api/v1/namespaces/kube-system/configmaps
  nodes=$pki/apiserver-kubelet-client
  node=/var/lib/kubelet/pki/kubelet-client-current.pem
  curl --fail-early "$@" --cacert "$pki/ca.crt" --cert "$nodes.crt" --key "$nodes.key" -w "\n$nonce http livez %{http_code}\n" "$api/livez" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$nodes.crt" --key "$nodes.key" -w "\n$nonce http readyz %{http_code}\n" "$api/readyz" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$nodes.crt" --key "$nodes.key" -w "\n$nonce http nodes %{http_code}\n" \
    -H 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' "$api/api/v1/nodes?includeObject=None" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$node" -w "\n$nonce http kubeadm-config %{http_code}\n" "$maps/kubeadm-config?pretty=false" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$node" -w "\n$nonce http kubelet-config %{http_code}\n" "$maps/kubelet-config?pretty=false" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$node" -w "\n$nonce http kube-proxy %{http_code}\n" "$maps/kube-proxy?pretty=false" --next \
    "$@" --cacert "$pki/ca.crt" --cert "$node" -w "\n$nonce http node %{http_code}\n" "$api/api/v1/nodes/$name?pretty=false" 2>/dev/null </dev/null | bodies
  [ -f "$pki/etcd/healthcheck-client.key" ] &&
    curl "$@" --cacert "$pki/etcd/ca.crt" --cert "$pki/etcd/healthcheck-client.crt" --key "$pki/etcd/healthcheck-client.key" \
      -d '{}' -w "\n$nonce http members %{http_code}\n" https://127.0.0.1:2379/v3/cluster/member/list --next \
      "$@" --cacert "$pki/etcd/ca.crt" --cert "$pki/etcd/healthcheck-client.crt" --key "$pki/etcd/healthcheck-client.key" \
      -d '{}' -w "\n$nonce http etcd-status %{http_code}\n" https://127.0.0.1:2379/v3/maintenance/status 2>/dev/null </dev/null | bodies
  return 0
}
