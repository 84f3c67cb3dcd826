# What server-side apply would change of manifests (kubectl-diff(1): 0 nothing, 1 something, more: it could not tell).
# kubectl compares in files: they lie in memory, in a folder of root's, while it runs.
probe_addons() {
  command -v kubectl >/dev/null 2>&1 && [ -f /etc/kubernetes/admin.conf ] || return 0
  scratch=$(mktemp -d /run/quorate-diff.XXXXXX) || return 0
  while [ $# -ge 3 ]; do
    said=$(printf %s "$3" | TMPDIR=$scratch timeout 30 kubectl --kubeconfig=/etc/kubernetes/admin.conf --cache-dir="$scratch/cache" \
      --request-timeout=10s diff --server-side --force-conflicts --field-manager=quorate -f "${2:--}" 2>&1)
    say addon $? "$(printf %s "$1" | base64_line)" "$(printf '%s\n' "$said" | head -c 262144 | base64_line)"
    shift 3
  done
  rm -rf -- "$scratch"
}
