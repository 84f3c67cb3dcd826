# Which folder a path leads to, where users of the host may write into folders on the way.
me=
us=
# Whether nobody but root (or who we are) may write into a folder with this owner, group and mode. Root's group is root's.
ours() { # uid gid mode
  : "${me:=$(id -u)}"
  [ -n "$us" ] || if [ "$me" = 0 ]; then us=0; else us=$(id -g); fi
  case ${1-} in 0 | "$me") ;; *) return 1 ;; esac
  case ${3-} in '' | *[2367]) return 1 ;; esac
  case $2:$3 in 0:* | "$us":*) ;; *[2367]?) return 1 ;; esac
}
# The same of the folder we are in.
private() { ours $(stat -c '%u %g %a' .); }
# Whether root alone says what stands at a path: all on the way is its own, and into none of these folders somebody else may
# write, but into those with the sticky bit, where an entry is its owner's to rename or remove (chmod(1)).
guarded() { # path
  : "${me:=$(id -u)}"
  chain=${1%/}
  set --
  while [ -n "$chain" ]; do
    set -- "$chain" "$@"
    chain=${chain%/*}
  done
  chain=$(stat -c '%u %g %a' -- / "$@") || return 1
  set -- $chain
  while [ $# -gt 3 ]; do
    case $1:$3 in 0:[1357]??? | "$me":[1357]???) ;; *) ours "$1" "$2" "$3" || return 1 ;; esac
    shift 3
  done
  case $1 in 0 | "$me") ;; *) return 1 ;; esac
}
# Goes into the folder that a path's last name stands in.
enter_above() { # path [make]
  folder=${1%/*}
  enter "${folder:-/}" "${2-}"
}
# Goes into a folder. From then on that folder counts, whatever its name leads to later. A link on the way is followed only
# where it is guarded, as the kernel has it in folders with the sticky bit (proc_sys_fs(5), protected_symlinks).
enter() { # folder [make]
  cd -P -- "$1" 2>/dev/null && [ "$PWD" = "$1" ] && return 0
  cd / || return 1
  rest=${1#/}/
  links=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    rest=${rest#*/}
    case $part in
    '' | .) continue ;;
    ..)
      cd -P .. || return 1
      continue
      ;;
    esac
    here=${PWD%/}
    if [ -L "./$part" ]; then
      links=$((links + 1))
      if [ ! -e "./$part" ] || [ "$links" -gt 40 ]; then
        echo "$here/$part is a symbolic link that leads nowhere."
        return 1
      fi
      if ! guarded "$here/$part"; then
        echo "$here/$part is a symbolic link that others than root may change: it is not followed. Put a directory in its place, or name the one that it points to."
        return 1
      fi
      part=$(readlink -- "./$part") || return 1
      case $part in /*) cd / || return 1 ;; esac
      rest=$part/$rest
      continue
    fi
    if [ ! -d "./$part" ]; then
      if [ -z "${2-}" ] || [ -e "./$part" ]; then
        echo "$here/$part is no directory."
        return 1
      fi
      # Directories are for all to pass through unless somebody asks for less; files of ours are not.
      (umask 022 && mkdir -- "./$part") || return 1
    fi
    cd -P -- "./$part" || return 1
    if [ "$PWD" != "$here/$part" ]; then
      echo "$here/$part was another one a moment ago: somebody else changes it."
      return 1
    fi
  done
}
