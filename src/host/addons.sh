# What server-side apply would change of manifests (kubectl-diff(1): 0 nothing, 1 something, more: it could not tell).
# The host's own API server is asked, whatever becomes of the endpoint meanwhile. kubectl compares in files: they lie in memory, in a folder of root's, while it runs.
probe_addons() {
  command -v kubectl >/dev/null 2>&1 && [ -f /etc/kubernetes/admin.conf ] || return 0
  scratch=$(mktemp -d /run/quorate-diff.XXXXXX) || return 0
  while [ $# -ge 4 ]; do
    for try in 1 2 3; do
      said=$(printf %s "$4" | TMPDIR=$scratch timeout 30 kubectl --kubeconfig=/etc/kubernetes/admin.conf --server="https://$1" \
        --cache-dir="$scratch/cache" --request-timeout=10s diff --server-side --force-conflicts --field-manager=quorate -f "${3:--}" 2>&1)
      status=$?
      [ $status -gt 1 ] || break
      # An API server that has just started may end a connection.
      case $said in *'connection re'* | *EOF* | *etcdserver* | *'currently unable'*) sleep 1 ;; *) break ;; esac
    done
    say addon $status "$(printf %s "$2" | base64_line)" "$(printf '%s\n' "$said" | head -c 262144 | base64_line)"
    shift 4
  done
  rm -rf -- "$scratch"
}
