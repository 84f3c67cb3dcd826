# Standard output speaks to the controller alone: it is descriptor 4, and the payload is descriptor 3.
exec 3<&0 4>&1 </dev/null
say() { printf '%s %s\n' "$nonce" "$*" >&4; }
digest() {
  sum=$(sha256sum <"$1") && printf '%s\n' "${sum%% *}"
}
# Takes the next $1 bytes of the payload. dd, because busybox head reads past what it was asked for.
receive() {
  [ "$1" -eq 0 ] && return 0
  if [ "$1" -ge 1048576 ]; then
    dd bs=1048576 count=$(($1 / 1048576)) iflag=fullblock status=none <&3 || return 1
  fi
  if [ $(($1 % 1048576)) -ne 0 ]; then
    dd bs=$(($1 % 1048576)) count=1 iflag=fullblock status=none <&3 || return 1
  fi
}
# The mark of a notified handler is set before the change, so that no death in between can lose it.
changing() {
  changed=1
  for handler in $notify; do
    mkdir -p "$state/handlers" && : >"$state/handlers/$handler" || return 1
    events="$events n:$handler "
  done
}
running() {
  case $(systemctl is-active "$1" 2>/dev/null) in
  active | activating | reloading | deactivating) return 0 ;;
  esac
  return 1
}
# Runs a long command as a transient unit that outlives the connection, and waits for it; where the unit runs already, attaches to it.
long() { # name seconds command...
  long_name=$1
  long_unit=quorate-$1.service
  long_end=$(($(date +%s) + $2))
  shift 2
  log=$state/log/$long_name.log
  result=$state/log/$long_name.status
  mkdir -p "$state/log"
  attached=
  if running "$long_unit"; then
    attached=1
  else
    rm -f "$result"
    systemctl reset-failed "$long_unit" 2>/dev/null
    # systemd puts ${NAME} in and reads $$ as $ (systemd.service(5), "Command lines").
    for word do
      word=$(printf '%s.' "$word" | sed 's/\$/$$/g')
      set -- "$@" "${word%.}"
      shift
    done
    # Without a description the command itself would be one, a script with all its lines.
    systemd-run --quiet --collect --unit="$long_unit" --description="quorate: $long_name" --service-type=exec --property=KillMode=control-group \
      --setenv=PATH="$PATH" --setenv=HOME=/root --setenv=LC_ALL=C --setenv=DEBIAN_FRONTEND=noninteractive \
      /bin/sh -c 'umask 022; log=$1 result=$2; shift 2; exec >"$log" 2>&1 </dev/null; "$@"; echo $? >"$result.new"; mv -f "$result.new" "$result"' \
      sh "$log" "$result" "$@" || return 1
  fi
  polls=0
  seen=
  until [ -e "$result" ]; do
    polls=$((polls + 1))
    if [ $((polls % 10)) -eq 0 ]; then
      line=$(tail -n 1 "$log" 2>/dev/null | tr -cd '[:print:]' | cut -c1-200)
      [ "$line" = "$seen" ] || say progress "$id" "$line"
      seen=$line
      if [ $((polls % 50)) -eq 0 ] && ! running "$long_unit" && [ ! -e "$result" ]; then
        tail -n 40 "$log" 2>/dev/null
        echo "$long_unit ended without a result: it was killed."
        return 137
      fi
      if [ "$(date +%s)" -ge "$long_end" ]; then
        tail -n 20 "$log" 2>/dev/null
        echo "$long_unit is still running on this host. Run again to wait for it; 'systemctl stop $long_unit' ends it."
        return 124
      fi
    fi
    sleep 0.1
  done
  tail -n 60 "$log" 2>/dev/null
  IFS= read -r code <"$result" || code=
  case $code in
  '' | *[!0-9]*)
    echo "$long_unit could not write its result to $result: is the disk full?"
    return 1
    ;;
  esac
  return "$code"
}
installed() { # a package's name, or name=version with * in it
  case $1 in *=*) version=${1#*=} ;; *) version='*' ;; esac
  if command -v dpkg-query >/dev/null 2>&1; then
    # Of one that is there for two architectures, both are told.
    there=$(dpkg-query -W -f '${db:Status-Abbrev}|${Version}\n' "${1%%=*}" 2>/dev/null | head -n 1)
    case $there in ?i*) ;; *) return 1 ;; esac
  else
    there=$(rpm -q --qf '|%{VERSION}-%{RELEASE}' "${1%%=*}" 2>/dev/null) || return 1
  fi
  case ${there#*|} in $version) return 0 ;; esac
  return 1
}
missing() {
  lacking=
  for package do
    case "$lacking " in *" $package "*) continue ;; esac
    installed "$package" || lacking="$lacking $package"
  done
  [ -n "$lacking" ]
}
# A version that is asked for may be an older one than the host's, and somebody may have held that.
install() {
  if command -v apt-get >/dev/null 2>&1; then
    long packages 1800 /bin/sh -c 'case "$*" in *=*) exactly="--allow-downgrades --allow-change-held-packages" ;; esac
      install() { apt-get -q -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 install --no-install-recommends $exactly -- "$@"; }
      install "$@" || { apt-get -q update && install "$@"; }' sh "$@"
  elif command -v dnf >/dev/null 2>&1; then
    by_rpm dnf -q -y --setopt=install_weak_deps=False install "$@"
  elif command -v yum >/dev/null 2>&1; then
    by_rpm yum -q -y install "$@"
  elif command -v zypper >/dev/null 2>&1; then
    # Its names take =version, without a release any (zypper(8), "Package Management Commands"); old lists are read anew by itself.
    for word do
      set -- "$@" "${word%-\*}"
      shift
    done
    long packages 1800 zypper --non-interactive --quiet install --no-recommends --oldpackage -- "$@"
  else
    echo "No package manager that is known: apt-get, dnf, yum or zypper."
    return 1
  fi
}
by_rpm() { # command... package...: name=version is name-version there
  for word do
    case $word in --*) ;; *=*) word=${word%%=*}-${word#*=} ;; esac
    set -- "$@" "$word"
    shift
  done
  long packages 1800 "$@"
}
# The first step that installs takes along what later steps of the wave will ask for ($gathered): a package manager starts
# once, not once a step. A later step counts what was installed for it as its own change.
installed_here=
packages() {
  for package do
    case " $installed_here " in *" $package "*) changing || return 1 ;; esac
  done
  missing "$@" || return 0
  if running quorate-packages.service; then
    long packages 1800 true
    missing "$@" || return 0
  fi
  changing || return 1
  if [ -n "$gathered" ] && missing "$@" $gathered; then
    gathered=
    installed_here=$lacking
    if install $lacking >/dev/null; then
      arrived "$@"
      return
    fi
    installed_here=
  fi
  missing "$@" || return 0
  install $lacking && arrived "$@"
}
# Where it is not, every run would install it again.
arrived() {
  missing "$@" || return 0
  echo "The package manager ended well, and yet this is not installed:$lacking. Where that is a name that another package provides, name that package."
  return 1
}
packages_absent() {
  present=
  for package do
    installed "$package" && present="$present $package"
  done
  [ -n "$present" ] || return 0
  changing || return 1
  if command -v apt-get >/dev/null 2>&1; then
    long packages 1800 apt-get -q -y -o DPkg::Lock::Timeout=300 remove -- $present
  elif command -v dnf >/dev/null 2>&1; then
    long packages 1800 dnf -q -y remove $present
  elif command -v yum >/dev/null 2>&1; then
    long packages 1800 yum -q -y remove $present
  else
    long packages 1800 zypper --non-interactive --quiet remove -- $present
  fi
}
unit_call() { systemctl "$1" "$2" 3<&- 4>&- 5>&-; }
unit_try() { # verb unit
  # Starts that came too fast, a daemon's own or those of runs cut off, count against the next one (systemd.unit(5), StartLimitBurst=).
  case "$1 $(systemctl is-active "$2" 2>/dev/null)" in
  stop\ *) ;;
  *\ failed) systemctl reset-failed "$2" ;;
  esac
  unit_call "$1" "$2" && return 0
  if [ "$1" != stop ] && [ "$(systemctl show -p Result --value "$2" 2>/dev/null)" = start-limit-hit ]; then
    systemctl reset-failed "$2" && unit_call "$1" "$2" && return 0
  fi
  journalctl --no-pager -o cat -n 20 -u "$2" 2>/dev/null
  return 1
}
unit() { # act unit
  case $1 in
  started)
    systemctl is-active -q "$2" && return 0
    changing && events="$events s:$2 " && unit_try start "$2"
    ;;
  stopped)
    running "$2" || return 0
    changing && unit_try stop "$2"
    ;;
  restarted | reloaded)
    # A unit that this wave has started since the handler was notified has read its files already.
    if [ -n "$handler_now" ]; then
      case ${events##*" n:$handler_now "} in *" s:$2 "*) return 0 ;; esac
    fi
    changing || return 1
    if [ "$1" = reloaded ] && systemctl is-active -q "$2"; then
      unit_try reload-or-restart "$2"
    else
      events="$events s:$2 "
      unit_try restart "$2"
    fi
    ;;
  enabled)
    systemctl is-enabled -q "$2" 2>/dev/null && return 0
    changing && systemctl -q enable "$2"
    ;;
  disabled)
    systemctl is-enabled -q "$2" 2>/dev/null || return 0
    changing && systemctl -q disable "$2"
    ;;
  masked)
    [ "$(systemctl is-enabled "$2" 2>/dev/null)" = masked ] && return 0
    changing && systemctl -q mask "$2"
    ;;
  unmasked)
    [ "$(systemctl is-enabled "$2" 2>/dev/null)" = masked ] || return 0
    changing && systemctl -q unmask "$2"
    ;;
  daemon-reloaded) changing && systemctl daemon-reload ;;
  esac
}
sysctl_set() { # path-under-proc-sys value
  [ -e "/proc/sys/$1" ] || { echo "The kernel has no parameter $1."; return 1; }
  [ "$(tr -s '[:space:]' ' ' <"/proc/sys/$1" | sed 's/ $//')" = "$2" ] && return 0
  changing && printf '%s\n' "$2" >"/proc/sys/$1"
}
module_load() {
  file=$(printf '%s' "$1" | tr - _)
  [ -d "/sys/module/$file" ] && return 0
  changing && modprobe -- "$1"
}
swap_off() {
  [ "$(wc -l </proc/swaps)" -gt 1 ] || return 0
  changing && swapoff -a
}
account() { # user|group add|mod|del name flag...; the names of shadow's programs
  case $1 in user) database=passwd ;; *) database=group ;; esac
  program=$1$2 act=$2 name=$3
  shift 3
  known=
  entry "$database" "$name" >/dev/null 2>&1 && known=1
  case $act$known in add1 | del) return 0 ;; esac
  changing && "$program" "$@" "$name" 3<&- 4>&- 5>&-
}
mounted() { awk -v p="$1" '$2 == p { found = 1 } END { exit !found }' /proc/self/mounts; }
mount_now() { # path: as /etc/fstab says
  mounted "$1" && return 0
  changing && mount "$1" 3<&- 4>&- 5>&-
}
unmount_now() { # path
  mounted "$1" || return 0
  changing && umount "$1" 3<&- 4>&- 5>&-
}
set_hostname() {
  [ "$(uname -n)" = "$1" ] && return 0
  changing && hostnamectl set-hostname "$1"
}
has_images() {
  present=$(ctr --timeout 30s -n k8s.io images ls -q 2>/dev/null) || return 1
  for name do
    case "
$present
" in *"
$name
"*) ;; *) return 1 ;; esac
  done
}
# The unit and the file carry the archive's digest: a run that comes after a lost one waits for the import of its own archive.
image() { # bytes digest name...
  bytes=$1
  import=image-$2
  shift 2
  if running "quorate-$import.service"; then
    long "$import" 900 true
  fi
  if has_images "$@"; then
    receive "$bytes" >/dev/null
    return
  fi
  changing || return 1
  archive=$state/$import.tar
  receive "$bytes" >"$archive" || { rm -f "$archive"; return 1; }
  long "$import" 900 ctr -n k8s.io images import --all-platforms=false "$archive" || { status=$?; rm -f "$archive"; return $status; }
  rm -f "$archive"
  has_images "$@" || { echo "The archive was imported, but it did not hold $*."; return 1; }
}
# What a registry has: a pod whose image does not come would only be seen to be missing by everybody who waits for it.
pull() { # folder-of-hosts.toml name...
  hosts=$1
  shift
  for name do
    has_images "$name" && continue
    changing || return 1
    unit=pull-$(printf %s "$name" | sha256sum | cut -c1-12)
    long "$unit" 900 ctr -n k8s.io images pull --hosts-dir "$hosts" "$name" && has_images "$name" && continue
    echo "$name could not be pulled by this host: is the name right, and does its registry answer from here? Mirrors are asked as $hosts says."
    return 1
  done
}
# Ends the wave where somebody has asked for it: before a step, or while a condition is waited for.
heed_stop() {
  [ -e "$stop" ] || return 0
  say stopped "$id"
  rm -f "$stop"
  finish 0
}
wait_for() { # seconds what; the condition is $condition
  end=$(($(date +%s) + $1))
  told=
  until (eval "$condition") 3<&- 4>&- 5>&- >/dev/null 2>&1; do
    heed_stop
    [ -n "$told" ] || say progress "$id" "waits: $2"
    told=1
    if [ "$(date +%s)" -ge "$end" ]; then
      (eval "$condition") 3<&- 4>&- 5>&-
      echo "Waited $1 s for: $2."
      return 1
    fi
    sleep 0.2
  done
}
# Runs `attempt` until $condition holds of its exit status $rc and its output $out. What the last try said is what is said.
poll() { # tries seconds
  tried=0
  while :; do
    tried=$((tried + 1))
    rc=0
    attempt >"$work/try" || rc=$?
    out=$(head -c 262144 "$work/try")
    if eval "$condition"; then
      cat "$work/try"
      return "$rc"
    fi
    [ "$tried" -lt "$1" ] || break
    say progress "$id" "try $tried of $1; the next in $2 s"
    left=$2
    while heed_stop && [ "$left" -gt 0 ]; do
      sleep 1
      left=$((left - 1))
    done
  done
  cat "$work/try"
  echo "Tried $1 times; what is waited for did not come." >&2
  [ "$rc" -ne 0 ] || rc=1
  return "$rc"
}
finish() {
  rm -rf "$work"
  exit "$1"
}
run_step() { # id plain|capture strict|caught|tolerant auto|changed|ok handler...
  [ -z "$fallen" ] || return 0
  id=$1
  capture=$2
  mood=$3
  report=$4
  shift 4
  notify=$*
  changed=0
  heed_stop
  say start "$id"
  # What an earlier step said there is not this one's.
  : >"$work/err"
  if [ "$capture" = capture ]; then
    "step_$id" >"$work/out" 2>"$work/err"
  else
    "step_$id" >"$work/out" 2>&1
  fi
  status=$?
  case $report in changed) changed=1 ;; ok) changed=0 ;; esac
  word=ok
  [ "$changed" -eq 1 ] && word=changed
  if [ "$status" -ne 0 ] && [ "$mood" != tolerant ]; then
    say 'done' "$id" failed "$status" "$(cat "$work/out" "$work/err" 2>/dev/null | tail -n 40 | tail -c 16384 | base64_line)"
    [ "$mood" = caught ] || finish 1
    fallen=1
  elif [ "$capture" = capture ]; then
    say 'done' "$id" "$word" "$status" "$(head -c 262144 "$work/out" | base64_line)"
  else
    say 'done' "$id" "$word" "$status"
  fi
}
mkdir -p "$state"
chmod 0700 "$state"
# This shell keeps it until its step has ended: who takes the host's lock sees that one is still going, also when the
# connection that it came by, and the lock with it, are gone.
mkdir -p /run/quorate && exec 5>>/run/quorate/wave && flock -s 5 2>/dev/null
work=$(mktemp -d /run/quorate.XXXXXX) || exit 1
begun=${PWD:-/}
own=
new=
trap 'leave; rm -rf "$work"' EXIT
trap 'exit 129' HUP INT TERM PIPE
# What was notified (n:) and started (s:) in this wave, in order; and the handler that is running.
events=
handler_now=
# Whether a step failed whose failure is caught: nothing behind it is done, marks of handlers stay, and the facts are told.
fallen=
