# The same twelve tasks as quorate/roles/app/tasks/main.yml, as a careful person writes them: nothing is touched that is as it
# should be. Before it stand the host's variables: dir, role, port, workers, files, users, peers; behind it the word `rules`.
set -eu
folder() { [ "$(stat -c %a "$2" 2>/dev/null)" = "$1" ] || { mkdir -p "$2" && chmod "$1" "$2"; }; }
# put MODE PATH: standard input, unless that is there.
put() {
    new=$2.new.$$
    (umask 077 && cat >"$new")
    if cmp -s "$new" "$2" && [ "$(stat -c %a "$2")" = "$1" ]; then
        rm -f "$new"
    else
        chmod "$1" "$new"
        mv "$new" "$2"
    fi
}
line() { grep -qxF "$3" "$1" 2>/dev/null || { [ -e "$1" ] && [ -n "$2" ] && sed -i "/$2/d" "$1"; echo "$3" >>"$1"; }; }
folder 755 "$dir/etc"
folder 750 "$dir/data"
echo "role = $role" | put 644 "$dir/etc/role.conf"
rules | put 644 "$dir/etc/rules.txt"
{
    printf '# %s\nlisten = 0.0.0.0:%s\nworkers = %s\ndata = %s/data\n' "$role" "$port" "$workers" "$dir"
    n=0
    for peer in $peers; do
        n=$((n + 1))
        echo "peer $n $peer:$port"
    done
    echo end
} | put 644 "$dir/etc/server.conf"
{
    for user in $users; do printf '%s soft nofile %s\n%s hard nofile %s\n' "$user" "$files" "$user" "$files"; done
    echo '# end'
} | put 644 "$dir/etc/limits.conf"
{
    printf 'APP_ROLE=%s\nAPP_DATA=%s/data\nAPP_WORKERS=%s\n' "$role" "$dir" "$workers"
    if [ "$workers" -gt 4 ]; then echo APP_POOL=large; else echo APP_POOL=small; fi
} | put 600 "$dir/etc/environment"
line "$dir/etc/profile" '^export APP_PORT=' "export APP_PORT=$port"
line "$dir/etc/modules" '' br_netfilter
echo "key $role" | put 600 "$dir/data/key"
[ "$(readlink "$dir/current.conf")" = "$dir/etc/server.conf" ] || ln -sfn "$dir/etc/server.conf" "$dir/current.conf"
[ -e "$dir/data/initialised" ] || touch "$dir/data/initialised"
