#!/bin/sh
# What an inventory script prints, with the variables of all hosts at once.
[ "$1" = --list ] || { echo "asked for $*" >&2; exit 1; }
cat <<'END'
{
  "_meta": { "hostvars": {
    "cp1": { "ansible_host": "192.0.2.11", "ip": "10.0.0.11", "flag": true, "n": 7, "list": [1, "a"], "emoji": "\ud83d\ude00 \/ \u00fc" },
    "w[1:2]": { "odd": 1 },
    "nobody": { "x": 1 }
  } },
  "kube_control_plane": { "hosts": ["cp1", "cp2"], "vars": { "role": "cp", "no": "yes" } },
  "kube_node": { "hosts": ["w1", "cp2"], "vars": { "role": "worker", "v": "1.30" } },
  "k8s_cluster": { "children": ["kube_control_plane", "kube_node"], "vars": { "all_of_them": null } },
  "only_vars": { "vars": {} }
}
END
