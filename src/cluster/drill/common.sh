# Milliseconds since 1970 into $ms; in whole seconds where date(1) knows no %N (busybox).
millis() {
  ms=$(date +%s%3N)
  case $ms in *[!0-9]*) ms=$(date +%s)000 ;; esac
}
cannot() { say cannot "$*"; exit 0; }
# The scripts below run as long as their standard input is open: it closes when the controller dies.
folder() { dir=$(mktemp -d) || cannot "no temporary folder"; millis; say clock "$ms"; }
until_closed() {
  timeout "$life" cat >/dev/null
  : >"$dir/stop"
  # Whoever waits for something else than our own files is told by a signal.
  [ ! -r "$dir/pid" ] || kill "$(cat "$dir/pid")" 2>/dev/null
  wait
  rm -rf "$dir"
  say end
}
