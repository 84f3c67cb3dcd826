# Writes a control plane's static pods anew, one component after the other, and waits for each until its new process serves.
# What does not come up is put back as it was.
manifests=/etc/kubernetes/manifests
pki=/etc/kubernetes/pki
keep=/var/lib/quorate/manifests
replaced=/var/lib/quorate/replaced
trap 'rm -f "$config"' EXIT
trap 'exit 143' TERM
mkdir -p "$keep" "$replaced" && chmod 700 "$keep" "$replaced" || exit 1
# A process has 15 letters of its name (proc(5), /proc/PID/comm), and Calico's kube-controllers has the same 15 as the controller
# manager: the first word of its command line is whole.
pids() {
  short=$(printf '%.15s' "$1")
  for process in /proc/[0-9]*; do
    comm=
    { read -r comm <"$process/comm"; } 2>/dev/null
    [ "$comm" = "$short" ] || continue
    word=$(tr '\0' '\n' 2>/dev/null <"$process/cmdline" | head -n 1)
    [ "${word##*/}" != "$1" ] || printf '%s ' "${process##*/}"
  done
}
put() { cp -p "$1" "$2.new" && mv -f "$2.new" "$2"; }
# Not through the folder that the kubelet watches.
restore() { [ -z "$was" ] || { cp -p "$was" "/etc/kubernetes/$component.yaml" && mv -f "/etc/kubernetes/$component.yaml" "$file"; }; }
serves() {
  case $1 in
  '') : ;;
  *) curl -sfk --noproxy '*' --max-time 3 -o /dev/null "$1" ;;
  esac
}
until_others_serve() {
  [ -n "$others" ] || return 0
  tries=0
  while :; do
    for other in $others; do
      curl -sf --noproxy '*' --max-time 3 --cacert "$pki/ca.crt" -o /dev/null "https://$other/readyz" && return 0
    done
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { echo "no other API server is ready: $others"; return 1; }
    sleep 1
  done
}
until_all_of_etcd_serve() {
  tries=0
  for member in $members; do
    until curl -sf --noproxy '*' --max-time 3 --cacert "$pki/etcd/ca.crt" --cert "$pki/etcd/healthcheck-client.crt" \
      --key "$pki/etcd/healthcheck-client.key" -o /dev/null "https://$member:2379/health"; do
      tries=$((tries + 1))
      [ $tries -lt 60 ] || { echo "etcd on $member is not healthy"; return 1; }
      sleep 1
    done
  done
}
roll() { # COMPONENT URL PHASE...
  component=$1 url=$2
  shift 2
  file=$manifests/$component.yaml
  was=
  # What is no pod is not worth to be put back; the kubelet lets the pod from before run on then, and it may be the right one.
  heard=481
  if [ -f "$file" ]; then
    cp -p "$file" "$replaced/$component.yaml" || exit 1
    if grep -q '^kind: Pod' "$file"; then was=$replaced/$component.yaml; else heard=60; fi
  fi
  old=" $(pids "$component")"
  before=$(cksum 2>/dev/null <"$file")
  kubeadm init phase "$@" --config "$config" || { restore; exit 1; }
  if [ "$(cksum <"$file")" != "$before" ]; then
    tries=0
    while :; do
      new=
      for pid in $(pids "$component"); do
        case $old in *" $pid "*) new=; break ;; *) new=$pid ;; esac
      done
      { [ -n "$new" ] || [ $tries -ge $heard ]; } && serves "$url" && break
      tries=$((tries + 1))
      if refused "$component" || [ $tries -ge 480 ]; then
        then="it is put back as it was"
        [ -n "$was" ] || then="what was there before is no pod, and is not put back"
        echo "$component does not serve with its new manifest; $then"
        last_words "$component" 3
        restore
        exit 1
      fi
      sleep 0.5
    done
    echo "$component: started anew"
  fi
  put "$file" "$keep/$component.yaml" || exit 1
}
# Whoever it is that asks: an answer that refuses him is one.
shows() { curl -s --noproxy '*' --max-time 3 --cacert "$pki/ca.crt" --connect-to "::$own" -o /dev/null "https://$1:${own##*:}/livez"; }
# The certificate is not this name's: 51 before curl 7.62 (curl(1)).
denies() {
  shows "$1"
  case $? in 51 | 60) : ;; *) return 1 ;; esac
}
again() {
  tries=$((tries + 1))
  [ $tries -lt 120 ] || { echo "the API server does not show its new certificate, $1"; exit 1; }
  sleep 1
}
# The certificate is made anew and the API server reads it by itself; what is there is kept until then.
certify() {
  for end in crt key; do
    [ ! -f "$pki/apiserver.$end" ] || mv -f "$pki/apiserver.$end" "$replaced/apiserver.$end" || exit 1
  done
  if ! kubeadm init phase certs apiserver --config "$config"; then
    for end in crt key; do
      [ ! -f "$replaced/apiserver.$end" ] || cp -p "$replaced/apiserver.$end" "$pki/apiserver.$end"
    done
    exit 1
  fi
  tries=0
  for name in $names; do
    until shows "$name"; do
      again "which names $name"
    done
  done
  for name in $gone; do
    until denies "$name"; do
      again "which does not name $name any more"
    done
  done
  echo "the API server shows its new certificate"
}
