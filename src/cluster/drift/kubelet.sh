# Brings a kubelet to the configuration that the cluster keeps, and starts it anew. Where it does not come up, all is put
# back as it was.
config=/var/lib/kubelet/config.yaml
env=/var/lib/kubelet/kubeadm-flags.env
conf=/etc/kubernetes/kubelet.conf
replaced=/var/lib/quorate/replaced
mkdir -p "$replaced" && chmod 700 "$replaced" || exit 1
put_back() {
  for file in "$config" "$env" "$conf"; do
    [ ! -f "$replaced/${file##*/}" ] || { cp -p "$replaced/${file##*/}" "$file.new" && mv -f "$file.new" "$file"; }
  done
}
back() {
  put_back
  systemctl restart kubelet
}
well() { curl -sf --noproxy '*' --max-time 2 -o /dev/null "$health"; }
for file in "$config" "$env" "$conf"; do
  [ ! -f "$file" ] || cp -p "$file" "$replaced/${file##*/}" || exit 1
done
# First: kubeadm asks this server for the configuration.
if [ -n "$server" ]; then
  (umask 077; sed "s|^\( *server: *\).*|\1$server|" "$conf" >"$conf.new") && mv -f "$conf.new" "$conf" || exit 1
fi
kubeadm upgrade node phase kubelet-config || { put_back; exit 1; }
if [ -n "$flags" ]; then
  printf '%s\n' "$flags" >"$env.new" && mv -f "$env.new" "$env" || exit 1
fi
pid=$(systemctl show -p MainPID --value kubelet)
systemctl restart kubelet || { back; exit 1; }
tries=0
good=0
while [ $good -lt 3 ]; do
  now=$(systemctl show -p MainPID --value kubelet)
  if [ "$now" != 0 ] && [ "$now" != "$pid" ] && well; then good=$((good + 1)); else good=0; fi
  tries=$((tries + 1))
  if [ $tries -ge 120 ]; then
    echo "the kubelet does not come up with its new configuration; it is put back as it was. Its last words:"
    journalctl -u kubelet -n 5 --no-pager -o cat 2>/dev/null | cut -c 1-400
    back
    exit 1
  fi
  sleep 0.5
done
