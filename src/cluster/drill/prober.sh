# Requests at fixed times. Lanes take turns: each starts one request in a period that is longer than a request may take,
# so that none delays another. One curl makes many requests, each with a connection of its own.
now() {
  read -r up _ </proc/uptime
  up=${up%.*}${up#*.}0
  now=$((base + ${up#0}))
}
prober() {
  [ -r "$ca" ] || cannot "$ca is not there"
  command -v curl >/dev/null 2>&1 || cannot "curl is not there"
  base=0
  now
  millis
  base=$((ms - now))
  period=$((limit + 100))
  set -- -q -s --noproxy '*' --http1.1 --no-sessionid -H 'Connection: close' --cacert "$ca" -m "0.$(printf %03d "$limit")" \
    -o /dev/null -w '%{stderr}%{http_code} %{time_total}\n' "$@"
  # Who is known gets an answer where anonymous requests are off.
  [ -r "$client" ] && set -- "$@" --cert "$client"
  if curl --help all 2>/dev/null | grep -q -e ' --rate '; then
    set -- "$@" --rate "$((60000 / period))/m" "$url?[1-20]"
  else
    set -- "$@" "$url"
  fi
  folder
  now
  begin=$((now - period)) end=$((now + life * 1000)) turn=0
  while [ "$turn" -lt $((period / step)) ]; do
    lane "$@" &
    turn=$((turn + 1))
  done
  until_closed
}
lane() {
  while [ ! -e "$dir/stop" ]; do
    now
    [ "$now" -lt "$end" ] || break
    rest=$((period - (now - begin - turn * step) % period))
    sleep "0.$(printf %03d "$rest")"
    sh -c 'echo "pid $$"; exec curl "$@" 2>&1 >/dev/null' sh "$@" | while read -r code took; do
      if [ "$code" = pid ]; then
        pid=$took
        continue
      fi
      now
      say probe "$now" "$code" "$took"
      if [ -e "$dir/stop" ]; then
        kill "$pid" 2>/dev/null
        break
      fi
    done
  done
}
