# Says which of its flags a static pod's process refuses, where the manifest that lies there asks for that flag: the kubelet
# starts it again and again with the same words, and it never serves. What was logged before the manifest was written, or by a
# container of an earlier one, does not count. The words are those of cobra's pflag and, in etcd, of Go's flag.
refused() { # COMPONENT
  manifest=/etc/kubernetes/manifests/$1.yaml
  asked=$(sed -n 's/^ *- --/--/; /^--/ { p; s/=.*$//p; }' "$manifest" 2>/dev/null) || return 1
  for log in $(find /var/log/pods/kube-system_"$1"-* -name '*.log' -newer "$manifest" 2>/dev/null); do
    flag=$(tail -n 40 "$log" | sed -n -E '
      s/^[^ ]+ stderr F Error: unknown flag: (--[^ ]+)$/\1/p
      s/^[^ ]+ stderr F Error: invalid argument "(.*)" for "[^"]*--([^" ]+)" flag: .*$/--\2=\1/p
      s/^[^ ]+ stderr F flag provided but not defined: (-[^ ]+)$/-\1/p
      s/^[^ ]+ stderr F invalid value "(.*)" for flag -([^ :]+): .*$/--\2=\1/p' | head -n 1)
    if [ -n "$flag" ] && printf '%s\n' "$asked" | grep -Fxq -e "$flag"; then
      echo "$1 does not take $flag, which its manifest has: it is not waited for"
      return 0
    fi
  done
  return 1
}
