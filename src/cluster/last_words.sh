# Says the last lines of a static pod's newest log, where it is newer than FILE: why a pod does not serve stands nowhere else.
last_words() { # POD LINES [FILE]
  log=$(ls -t /var/log/pods/kube-system_"$1"-*/*/*.log 2>/dev/null | head -n 1)
  [ -n "$log" ] && [ -n "$(find "$log" ${3:+-newer "$3"})" ] || return 0
  echo "$1's last words, in $log:"
  tail -n 20 "$log" | sed 's/^[^ ]* std[a-z]* [FP] //' | grep . | tail -n "$2" | cut -c 1-300
}
