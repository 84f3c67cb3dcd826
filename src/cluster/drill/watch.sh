# An open watch, as a controller or `kubectl get --watch` has one. Its client asks for a sign of life after a second of
# silence and gives up two seconds later; client-go's defaults are 30 and 15.
watcher() {
  command -v kubectl >/dev/null 2>&1 || cannot "kubectl is not there"
  [ -r /etc/kubernetes/admin.conf ] || cannot "/etc/kubernetes/admin.conf is not there"
  folder
  watching "$@" &
  until_closed
}
watching() {
  while [ ! -e "$dir/stop" ]; do
    # Without an answer kubectl would wait for TCP's own repetitions.
    until curl -q -s --noproxy '*' --cacert "$ca" -m 0.5 -o /dev/null "$@" "$url"; do
      [ ! -e "$dir/stop" ] || return 0
      sleep 0.1
    done
    sh -c 'echo "pid $$"; export HTTP2_READ_IDLE_TIMEOUT_SECONDS=1 HTTP2_PING_TIMEOUT_SECONDS=2
      exec kubectl --kubeconfig /etc/kubernetes/admin.conf --server "$1" get nodes --watch -o name 2>/dev/null' sh "$server" | {
      open=
      while read -r word rest; do
        if [ "$word" = pid ]; then
          echo "$rest" >"$dir/pid"
          [ ! -e "$dir/stop" ] || kill "$rest" 2>/dev/null
        elif [ -z "$open" ]; then
          open=yes
          millis
          say watch "$ms" open
        fi
      done
      if [ -n "$open" ] && [ ! -e "$dir/stop" ]; then
        millis
        say watch "$ms" closed
      fi
    }
    sleep 0.1
  done
}
