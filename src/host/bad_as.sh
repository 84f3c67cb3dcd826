# A peer that expects another AS number, or has one, ends each session with a notification (RFC 4271, 6.2: code 2, subcode 2).
bad_as() { # peer: each line of the log names its own
  newest=$(ls -t /var/log/pods/kube-system_kube-vip-*/kube-vip/*.log 2>/dev/null | head -n 1)
  [ -n "$newest" ] && tail -n 60 "$newest" 2>/dev/null | grep -wF -e "$1" | grep -qE 'bad-peer-as|notification.*[^b]"?[Cc]ode"?[=:]2[^0-9].*[Ss]ub[Cc]ode"?[=:]2([^0-9]|$)'
}
