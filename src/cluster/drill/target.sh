# What takes a host away, and what brings it back without anybody's help.
run=/run/quorate
stamp() {
  millis
  echo "$1 $ms" >>"$run/drill"
}
# The same as lines of a script that runs later.
stamp_later() {
  cat <<STAMP
ms=\$(date +%s%3N)
case \$ms in *[!0-9]*) ms=\$(date +%s)000 ;; esac
echo "$1 \$ms" >>$run/drill
STAMP
}
# A unit of our own runs FILE; arguments before it are systemd-run's. A file, because systemd expands words in arguments.
unit() { # NAME FILE [OPTION...]
  name=$1 file=$2
  shift 2
  systemctl reset-failed "$name.service" 2>/dev/null
  systemd-run --quiet --collect --unit="$name" -p Type=oneshot "$@" /bin/sh "$file"
}
# Before anything is touched that a drill of somebody else may stand on.
idle() {
  command -v systemd-run >/dev/null 2>&1 || cannot "systemd-run is not there"
  if systemctl is-active --quiet quorate-drill-restore.timer; then
    cannot "a drill is under way on this host: its timer quorate-drill-restore.timer runs"
  fi
}
# arm SECONDS: the script on standard input runs in so many seconds, whatever becomes of this connection. Nothing is
# taken away before this timer runs.
arm() {
  idle
  mkdir -p "$run"
  rm -f "$run/drill"
  {
    echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    cat
    stamp_later back
    echo "rm -f $run/drill-away.sh $run/drill-restore.sh"
  } >"$run/drill-restore.sh" || cannot "$run/drill-restore.sh cannot be written"
  said=$(unit quorate-drill-restore "$run/drill-restore.sh" --on-active="$1" --timer-property=AccuracySec=50ms 2>&1) ||
    cannot "the timer that brings the host back was not started: $said"
  systemctl is-active --quiet quorate-drill-restore.timer || cannot "the timer that brings the host back does not run"
}
isolate() { # SECONDS DEVICE...
  idle
  command -v nft >/dev/null 2>&1 || cannot "nft is not there: install the package nftables"
  seconds=$1 devices= chains= drops= n=0
  shift
  for device in "$@" $(ip -o route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p'); do
    case " $devices " in *" $device "*) continue ;; esac
    devices="$devices $device"
    # At the device itself: what keepalived and ARP send by packet sockets passes no other hook.
    chains="$chains
chain in_$n { type filter hook ingress device \"$device\" priority -500; }
chain out_$n { type filter hook egress device \"$device\" priority -500; }"
    drops="$drops
add rule netdev quorate_drill in_$n drop
add rule netdev quorate_drill out_$n drop"
    n=$((n + 1))
  done
  [ "$n" -gt 0 ] || cannot "no network device to cut off was found"
  nft delete table netdev quorate_drill 2>/dev/null
  # Chains without rules first: where the kernel cannot, nothing has happened.
  said=$(printf 'table netdev quorate_drill {%s\n}\n' "$chains" | nft -f - 2>&1) ||
    cannot "nft cannot hook into a device's egress (Linux 5.16 and nft 1.0.1 can): $said"
  # Where no timer can be armed the table goes again: empty as it is, somebody would wonder about it.
  trap 'nft delete table netdev quorate_drill 2>/dev/null' EXIT
  arm "$((seconds + 1))" <<'RESTORE'
systemctl stop quorate-drill-away.service 2>/dev/null
tries=0
until nft delete table netdev quorate_drill; do
  tries=$((tries + 1))
  [ $tries -lt 50 ] && nft list table netdev quorate_drill >/dev/null 2>&1 || break
  sleep 0.2
done
RESTORE
  trap - EXIT
  {
    echo 'sleep 1'
    # One transaction: all devices at once.
    printf 'nft -f - <<DROPS%s\nDROPS\n' "$drops"
    stamp_later away
  } >"$run/drill-away.sh"
  # Beside this exec: its own connection is cut too, and its answer has to leave before that.
  said=$(unit quorate-drill-away "$run/drill-away.sh" --no-block 2>&1) || {
    restore_now
    cannot "the network was not cut: $said"
  }
  say armed "$devices"
}
stop_units() { # SECONDS UNIT...
  seconds=$1
  shift
  boots "$@"
  arm "$seconds" <<RESTORE
systemctl start $*
RESTORE
  stamp away
  said=$(systemctl stop "$@" 2>&1) || {
    restore_now
    cannot "systemctl stop $*: $said"
  }
  say armed "$*"
}
kill_api() {
  mkdir -p "$run"
  rm -f "$run/drill"
  pids=
  # This host's own: pods on it may be API servers of other clusters.
  flags=$(sed -n 's/^ *- *\(--advertise-address=[^ ]*\|--secure-port=[^ ]*\) *$/\1/p' /etc/kubernetes/manifests/kube-apiserver.yaml 2>/dev/null)
  for process in /proc/[0-9]*; do
    comm=
    { read -r comm <"$process/comm"; } 2>/dev/null
    [ "$comm" = kube-apiserver ] || continue
    for flag in $flags; do
      tr '\0' '\n' <"$process/cmdline" 2>/dev/null | grep -qxF -e "$flag" || continue 2
    done
    pids="$pids ${process##*/}"
  done
  [ -n "$pids" ] || cannot "no process kube-apiserver was found"
  stamp away
  kill -9 $pids || cannot "kube-apiserver cannot be killed"
  say armed "$pids"
}
reboot_host() { # UNIT...
  mkdir -p "$run"
  rm -f "$run/drill"
  boots "$@"
  identity
  echo 'systemctl reboot' >"$run/drill-away.sh"
  said=$(unit quorate-drill-away "$run/drill-away.sh" --on-active=1 --timer-property=AccuracySec=50ms 2>&1) ||
    cannot "the reboot was not started: $said"
  say armed reboot
}
# Nothing is taken away that a boot would not bring back.
boots() {
  for unit in "$@"; do
    systemctl is-enabled --quiet "$unit" || cannot "$unit does not start at boot: a reboot in the middle would not bring it back"
  done
}
# Which boot this is. A container has its host's boot_id, and a process 1 of its own.
identity() { say identity "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)-$(sed 's/.*) //' /proc/1/stat | cut -d' ' -f20)"; }
restore_now() {
  if systemctl is-active --quiet quorate-drill-restore.timer; then
    systemctl start quorate-drill-restore.service
    systemctl stop quorate-drill-restore.timer
  fi
}
report() {
  if systemctl is-active --quiet quorate-drill-restore.timer; then say pending; fi
  if [ -r "$run/drill" ]; then
    while read -r what at; do say "$what" "$at"; done <"$run/drill"
  fi
  millis
  say clock "$ms"
  identity
  say end
}
release() {
  restore_now
  report
}
