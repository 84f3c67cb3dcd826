# Who carries the virtual address: looked at when an address changes, and once a second.
holder() {
  folder
  looking &
  until_closed
}
looking() {
  {
    sh -c 'echo "pid $$"; exec ip -o monitor address' 2>/dev/null &
    while [ ! -e "$dir/stop" ]; do
      echo tick
      sleep 1
    done
  } | while read -r word rest; do
    if [ "$word" = pid ]; then
      echo "$rest" >"$dir/pid"
      continue
    fi
    if [ -n "$(ip -o address show to "$vip" 2>/dev/null)" ]; then has=yes; else has=no; fi
    millis
    say holder "$ms" "$has"
  done
}
