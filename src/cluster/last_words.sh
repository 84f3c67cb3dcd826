# Says why a static pod does not serve: what the kubelet cannot start of it (an image that it does not get, a wrong option), and the
# last lines of its newest log, where it is newer than FILE.
last_words() { # POD LINES [FILE]
  journalctl -u kubelet --since -90s --no-pager -o cat 2>/dev/null |
    grep "StartContainer.* for .*\"$1\\\\\" with " | grep -v CrashLoopBackOff | tail -n 1 |
    sed 's/.*StartContainer[^ ]* for /the kubelet cannot start /; s/" pod=.*//; s/\\\\*"//g' | cut -c 1-400
  log=$(ls -t /var/log/pods/kube-system_"$1"-*/*/*.log 2>/dev/null | head -n 1)
  [ -n "$log" ] && [ -n "$(find "$log" ${3:+-newer "$3"})" ] || return 0
  echo "$1's last words, in $log:"
  tail -n 20 "$log" | sed 's/^[^ ]* std[a-z]* [FP] //' | grep . | tail -n "$2" | cut -c 1-300
}
