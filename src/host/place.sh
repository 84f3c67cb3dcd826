# Goes to where a file can be made ready: into its folder, or, where others may write into that one, into a folder of our own
# in there. $new is then made ready and put at $to; a copy of the old one lies beside $aside. `leave` takes all of it back.
ready() { # path [make]
  name=${1##*/}
  enter_above "$@" || return 1
  if private; then
    to=./$name aside=./$name new=./.$name.quorate-new
    # Beside a manifest of the kubelet's (staticPodPath) nothing may lie: it would be started.
    case $folder:$PWD in
    */manifests:* | */manifests) if (cd -P .. && private); then aside=../$name new=../.$name.quorate-new; else new=; fi ;;
    esac
    if [ -n "$new" ]; then
      [ ! -e "$new" ] && [ ! -L "$new" ] || rm -f -- "$new"
      return
    fi
  fi
  here=${PWD%/}
  # What a run that was killed has left. Such a name may be anybody's: no more is taken away than what is ours by its place.
  for part in ./.quorate.??????; do
    [ -d "$part" ] && [ ! -L "$part" ] || continue
    (cd -P "$part" && [ "$PWD" = "$here/${part#./}" ] && private && rm -f ./quorate-new ./quorate-old && cd -P .. && rmdir "$part") 2>/dev/null
  done
  part=$(mktemp -d ./.quorate.XXXXXX) || return 1
  if ! cd -P "$part" || [ "$PWD" != "$here/${part#./}" ] || ! private; then
    echo "$here/${part#./} was made for $1 and is another one now: somebody else changes it."
    return 1
  fi
  own=$part to=../$name aside=../$name new=./quorate-new
  case $folder:$here in */manifests:* | */manifests) aside=../../$name ;; esac
}
# What lies at $to, under a name that nobody else can give to something else: $thing, and $held where it is a plain file.
# A link or a FIFO is neither followed nor opened.
hold() {
  held=
  thing=
  [ -e "$to" ] || [ -L "$to" ] || return 0
  thing=$to
  if [ -n "$own" ]; then
    if ! ln -- "$to" ./quorate-old; then
      echo "$here/${to#../} lies where others may write, and this file system or mount point lets it have no second name (a hard link): it is not touched."
      return 1
    fi
    thing=./quorate-old
  fi
  [ ! -f "$thing" ] || [ -L "$thing" ] || held=$thing
}
leave() {
  if [ -n "$own" ]; then
    rm -f ./quorate-new ./quorate-old
    # Where somebody has given it another name, it stays, and is empty.
    cd -P .. && rmdir "$own" 2>/dev/null
  elif [ -n "$new" ] && { [ -e "$new" ] || [ -L "$new" ]; }; then
    rm -f -- "$new"
  fi
  own=
  new=
  cd -- "$begun" 2>/dev/null || cd /
}
# Does something that goes into folders, and comes back.
away() {
  own=
  new=
  "$@"
  set -- "$?"
  leave
  return "$1"
}
attributes() { away set_attributes "$@"; } # path mode owner group; - leaves one as it is
set_attributes() {
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    enter "$1" && attributes_of . "$@"
    return
  fi
  ready "$1" && hold || return 1
  if [ -z "$thing" ]; then
    echo "$1 is not there."
    return 1
  fi
  attributes_of "$thing" "$@"
}
attributes_of() { # thing path mode owner group: of what nobody else can replace
  if [ -L "$1" ] && [ "$3" != - ]; then
    echo "$2 is a symbolic link: the mode of what it points to is not changed."
    return 1
  fi
  now=$(stat -c '%a %U %G %u %g %h' -- "$1") || return 1
  set -- "$@" $now
  mode=- owner=- group=-
  [ "$3" = - ] || [ "$((0$3))" -eq "$((0$6))" ] || mode=$3
  [ "$4" = "$7" ] || [ "$4" = "$9" ] || owner=$4
  [ "$5" = "$8" ] || [ "$5" = "${10}" ] || group=$5
  [ "$mode$owner$group" != --- ] || return 0
  # One more name is ours. Who may write here may have given the name to a file of root's from elsewhere.
  if [ "$1" = ./quorate-old ] && [ "${11}" -gt 2 ]; then
    echo "$2 lies where others may write, and has another name elsewhere (a hard link): its mode and owner are not changed. Give it a copy of its own."
    return 1
  fi
  changing || return 1
  [ "$mode" = - ] || chmod -- "$mode" "$1" || return 1
  [ "$owner" = - ] || chown -h -- "$owner" "$1" || return 1
  [ "$group" = - ] || chgrp -h -- "$group" "$1"
}
directory() { # path mode owner group
  if [ ! -d "$1" ]; then
    changing && away enter "$1" make || return 1
  fi
  attributes "$@"
}
link() { # path target
  [ -L "$1" ] && [ "$(readlink -- "$1")" = "$2" ] && return 0
  # ln would put the link inside.
  if [ -d "$1" ] && [ ! -L "$1" ]; then
    echo "$1 is a directory: it is not replaced by a link."
    return 1
  fi
  changing && away link_in "$@"
}
link_in() {
  enter_above "$1" make && ln -sfnT -- "$2" "./${1##*/}"
}
absent() { # path
  [ -e "$1" ] || [ -L "$1" ] || return 0
  changing && away absent_in "$1"
}
absent_in() {
  enter_above "$1" && rm -rf -- "./${1##*/}"
}
remember() { # path digest: what lets a large file be recognised without reading it again
  # Where others may write, or above, they would say which file that is.
  [ -z "$own" ] && guarded "$PWD" || return 0
  touch "$state/sums"
  awk -v p=" $1" 'substr($0, length($0) - length(p) + 1) != p' "$state/sums" >"$state/sums.new"
  printf '%s %s %s\n' "$2" "$(stat -c '%i %s %Y %Z' -- "$to")" "$1" >>"$state/sums.new"
  mv -f "$state/sums.new" "$state/sums"
}
# Runs $validate with the new file's name for each %s, from where the wave began.
valid() {
  # By its full name, as far as nobody else can have it lead elsewhere.
  case $new in ../*) way=${PWD%/*}/${new#../} ;; *) way=${PWD%/}/${new#./} ;; esac
  guarded "$PWD" || way=/proc/$$/cwd/${new#./}
  case $way in *[!A-Za-z0-9_./:=@%+,-]*) way="'$(printf '%s' "$way" | sed "s/'/'\\\\''/g")'" ;; esac
  rest=$validate
  validate=
  while :; do
    case $rest in *%s*) ;; *) break ;; esac
    validate=$validate${rest%%'%s'*}$way
    rest=${rest#*'%s'}
  done
  validate=$validate$rest
  (
    cd -- "$begun" 2>/dev/null || cd /
    eval "$validate"
  ) 3<&- 4>&- 5>&-
}
put() { # path bytes digest mode owner group expected backup size-class; $validate checks the new file
  taken=
  away put_in "$@" && return 0
  # The next step's bytes stand behind these.
  [ -n "$taken" ] || [ "$mood" != tolerant ] || receive "$2" >/dev/null
  return 1
}
put_in() {
  ready "$1" make || return 1
  if [ "$7" = kept ] && { [ -e "$to" ] || [ -L "$to" ]; }; then
    taken=1
    receive "$2" >/dev/null
    return
  fi
  if [ -d "$to" ] && [ ! -L "$to" ]; then
    echo "$1 is a directory: it is not replaced by a file."
    return 1
  fi
  # A link is replaced, not followed: what it points to may belong to somebody else.
  hold || return 1
  old=absent
  [ -z "$held" ] || old=$(digest "$held")
  if [ "$old" = "$3" ]; then
    taken=1
    receive "$2" >/dev/null
    attributes_of "$held" "$1" "$4" "$5" "$6" || return 1
    # After that, because a new mode is a new ctime.
    [ "$9" != large ] || remember "$1" "$3"
    return 0
  fi
  case $7 in any | kept | "$old") ;; *)
    echo "$1 was changed by somebody else while this run was planned: expected $7, found $old. Run again to see the new difference."
    return 1
    ;;
  esac
  taken=1
  if ! (set -C && receive "$2" >"$new"); then
    echo "$1 is unchanged: the new content could not be written beside it."
    return 1
  fi
  # A large file is taken by its length: SSH vouches for each byte on the way (RFC 4253, 6.4), and hashing 300 MB of binaries
  # again took 3.6 s of each host's processor.
  if [ "$9" = large ]; then
    arrived=$(stat -c %s -- "$new") wanted=$2
  else
    arrived=$(digest "$new") wanted=$3
  fi
  if [ "$arrived" != "$wanted" ]; then
    echo "$1 is unchanged: the content did not arrive whole. Is the disk full, or was the connection cut?"
    return 1
  fi
  chown -- "$5:$6" "$new" && chmod -- "$4" "$new" || return 1
  if [ -n "$validate" ] && ! valid; then
    echo "$1 is unchanged: the new content was refused by its validator."
    return 1
  fi
  changing || return 1
  if [ "$8" = backup ] && [ -n "$held" ]; then
    kept=$aside.$(date -u +%Y%m%dT%H%M%SZ).bak
    if [ -n "$own" ]; then
      mv -fT -- "$held" "$kept" || return 1
    else
      rm -f -- "$kept" && cp -p -- "$to" "$kept" || return 1
    fi
  fi
  # A new file whose content is not on the disk yet is empty after a loss of power: what kubeadm has begun must be known then.
  case $1 in "$state"/*) sync -- "$new" 2>/dev/null ;; esac
  if ! mv -fT -- "$new" "$to" 2>/dev/null; then
    if [ -n "$own" ]; then
      echo "$1 is unchanged: it could not be replaced. Is it a mount point, or has somebody put a directory there?"
      return 1
    fi
    in_place "$@" || return 1
  fi
  if command -v restorecon >/dev/null 2>&1; then restorecon -- "$1" 2>/dev/null; fi
  [ "$9" != large ] || remember "$1" "$3"
}
# A mount point, such as /etc/hosts in a container, cannot be renamed over: it is written in place.
in_place() {
  if ! { rm -f -- "$aside.quorate-backup" && cp -p -- "$to" "$aside.quorate-backup"; }; then
    rm -f -- "$aside.quorate-backup"
    return 1
  fi
  if ! cat "$new" >"$to"; then
    cat "$aside.quorate-backup" >"$to" && rm -f -- "$aside.quorate-backup"
    echo "$1 could not be written in place; the old content was put back."
    return 1
  fi
  rm -f -- "$aside.quorate-backup"
  chown -- "$5:$6" "$to" && chmod -- "$4" "$to"
}
download() { # address file
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --proto '=http,https' --connect-timeout 10 --max-time 900 -o "$2" -- "$1"
  elif command -v wget >/dev/null 2>&1; then
    wget -q -T 60 -O "$2" -- "$1"
  else
    echo "Neither curl nor wget is there to fetch it with."
    return 1
  fi
}
fetch() { away fetch_in "$@"; } # address path digest mode owner group
fetch_in() {
  ready "$2" make || return 1
  if [ -d "$to" ] && [ ! -L "$to" ]; then
    echo "$2 is a directory: it is not replaced by a file."
    return 1
  fi
  hold || return 1
  if [ -n "$held" ] && [ "$(digest "$held")" = "$3" ]; then
    attributes_of "$held" "$2" "$4" "$5" "$6"
    return
  fi
  if ! download "$1" "$new" 3<&- 4>&- 5>&-; then
    echo "$1 could not be fetched: $2 is unchanged."
    return 1
  fi
  arrived=$(digest "$new")
  if [ "$arrived" != "$3" ]; then
    echo "$1 has the digest $arrived, not $3: $2 is unchanged."
    return 1
  fi
  chown -- "$5:$6" "$new" && chmod -- "$4" "$new" && changing && mv -fT -- "$new" "$to"
}
unpack() { # bytes directory digest: an archive, once; the record of it lies beside the sums
  mark=$state/unpacked/$3
  if [ -e "$mark" ] && [ -d "$2" ]; then
    receive "$1" >/dev/null
    return
  fi
  changing && mkdir -p -- "$state/unpacked" || return 1
  archive=$state/archive-$id
  receive "$1" >"$archive" && away unpack_in "$2" || { rm -f "$archive"; return 1; }
  rm -f "$archive"
  printf '%s\n' "$2" >"$mark"
}
unpack_in() {
  enter "$1" make && tar -xf "$archive" 3<&- 4>&- 5>&-
}
