#!/bin/sh
# The forms of older days: lists for groups, a host as a group, variables by --host.
case "$1 $2" in
  "--list ") echo '{"web": ["h1", "h2"], "db": {"hosts": ["h2"]}, "lone": {"v": 3}}' ;;
  "--host h1") echo '{"a": 1, "b": {"c": "d"}}' ;;
  "--host h2") ;;
  "--host lone") echo '{}' ;;
  *) exit 2 ;;
esac
