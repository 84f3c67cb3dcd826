//! Looks at the cluster without quorate: by kubectl at the VIP, by etcdctl, and on the hosts.

use std::time::Duration;

use serde_json::Value;

use crate::driver::{CONTROL_PLANES, Lab, Said, VIP, command, on, poll, root};
use crate::journal::Journal;

/// Pods come up in seconds; a machine under load may take longer.
const SETTLED: Duration = Duration::from_secs(120);

impl Lab {
    /// kubectl with the kubeconfig that quorate wrote.
    pub(crate) fn kubectl(&self, words: &[&str]) -> Said {
        let kubectl = root().join("vagrant/.lab/files/bin/kubectl");
        let config = self.kubeconfig();
        let mut all = vec![
            kubectl.to_str().unwrap(),
            "--kubeconfig",
            config.to_str().unwrap(),
        ];
        all.push("--request-timeout=15s");
        all.extend(words);
        command(60, all)
    }

    fn json(&self, words: &[&str]) -> Option<Value> {
        let said = self.kubectl(&[words, &["-o", "json"]].concat());
        serde_json::from_str(&said.out)
            .ok()
            .filter(|_| said.code == Some(0))
    }

    /// Waits until exactly these nodes are there, all Ready, with kube-proxy and CoreDNS Running.
    pub(crate) fn is_whole(&self, nodes: &[&str]) {
        poll("all nodes Ready, by kubectl", SETTLED, || {
            let list = self.json(&["get", "nodes"])?;
            let mut ready: Vec<&str> = items(&list).filter(|n| is(n, "Ready")).map(name).collect();
            ready.sort_unstable();
            (ready == nodes && items(&list).count() == nodes.len()).then_some(())
        });
        poll("kube-proxy on each node and CoreDNS ready", SETTLED, || {
            let list = self.json(&[
                "-n",
                "kube-system",
                "get",
                "pods",
                "-l",
                "k8s-app in (kube-proxy,kube-dns)",
            ])?;
            let all = |app: &str| {
                items(&list)
                    .filter(|p| p["metadata"]["labels"]["k8s-app"] == app)
                    .filter(|p| p["status"]["phase"] == "Running" && is(p, "Ready"))
                    .count()
            };
            (all("kube-proxy") == nodes.len() && all("kube-dns") == 2).then_some(())
        });
    }

    /// Three members of etcd, all with a vote, asked of etcd itself.
    pub(crate) fn has_three_voting_members(&self) {
        let etcdctl = "etcdctl --endpoints=https://127.0.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt --key=/etc/kubernetes/pki/etcd/server.key member list -w json";
        let mut words = vec!["-n", "kube-system", "exec", "etcd-cp1", "--"];
        words.extend(etcdctl.split(' '));
        let said = self.kubectl(&words).good("etcd's members");
        let list: Value = serde_json::from_str(&said).expect("JSON of etcdctl");
        let members = list["members"].as_array().expect("members");
        let mut names: Vec<&str> = members.iter().filter_map(|m| m["name"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, CONTROL_PLANES, "{said}");
        assert!(members.iter().all(|m| m["isLearner"] != true), "{said}");
    }

    /// A pod on every node resolves and fetches a Service whose only endpoint is on the next node.
    pub(crate) fn pods_reach_services(&self, nodes: &[&str]) {
        let mut manifest = String::new();
        for node in nodes {
            manifest.push_str(&POD.replace("@", node));
        }
        let file = self.file("pods.yaml", &manifest);
        let file = file.to_str().unwrap();
        self.kubectl(&[
            "delete",
            "--ignore-not-found",
            "--grace-period=0",
            "--force",
            "-f",
            file,
        ])
        .good("no pods of an earlier test");
        self.kubectl(&["apply", "-f", file]).good("pods are made");
        for (node, next) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
            let pod = format!("web-{node}");
            let service = format!("web-{next}.default.svc.cluster.local");
            let script = format!(
                "timeout 5 nslookup {service} >&2 && timeout 5 wget -q -O - http://{service}/"
            );
            poll(
                &format!("a pod on {node} fetches {service}"),
                SETTLED,
                || {
                    let said = self.kubectl(&["exec", &pod, "--", "sh", "-c", &script]);
                    (said.code == Some(0) && said.out.trim() == *next).then_some(())
                },
            );
        }
        self.kubectl(&["delete", "--grace-period=0", "--force", "-f", file])
            .good("the pods go");
    }

    /// What must hold of any converged lab: whole, reachable at the VIP, three members, nothing left to do.
    pub(crate) fn is_good(&self, ca: &str) {
        assert_eq!(holders(), 1, "the VIP is on exactly one host");
        for host in CONTROL_PLANES {
            assert_eq!(
                digest(host, "/etc/kubernetes/pki/ca.crt"),
                ca,
                "{host}'s CA"
            );
        }
        self.is_whole(&["cp1", "cp2", "cp3", "w1"]);
        self.has_three_voting_members();
        self.plan_is_empty();
    }

    /// A plan finds nothing, at once or (while pods settle) soon.
    pub(crate) fn plan_is_empty(&self) {
        let run = self.quorate(&["plan"]).run().expect(0);
        assert_eq!(run.journal.planned(), Vec::new());
    }
}

/// One Service, one endpoint: the pod of that node. `@` is the node.
const POD: &str = r#"---
apiVersion: v1
kind: Pod
metadata: {name: web-@, labels: {web: "@"}}
spec:
  nodeName: "@"
  terminationGracePeriodSeconds: 0
  tolerations: [{operator: Exists}]
  containers:
    - name: web
      image: lab.quorate/tools:1
      imagePullPolicy: Never
      command: [sh, -c, "mkdir -p /tmp/www && echo @ >/tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"]
---
apiVersion: v1
kind: Service
metadata: {name: web-@}
spec:
  selector: {web: "@"}
  ports: [{port: 80, targetPort: 8080}]
"#;

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is(object: &Value, condition: &str) -> bool {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|c| c["type"] == condition && c["status"] == "True")
}

/// One connection and one exec a host, and one more on one control plane, which is asked for the manifests; returns that one.
#[track_caller]
pub(crate) fn one_exec_each(journal: &Journal) -> String {
    let connections = journal.connections();
    assert!(connections.values().all(|n| *n == 1), "{connections:?}");
    let execs = journal.execs();
    let more: Vec<(&str, u32)> = execs
        .iter()
        .filter(|(_, n)| **n != 1)
        .map(|(host, n)| (host.as_str(), *n))
        .collect();
    match more[..] {
        [(host, 2)] if CONTROL_PLANES.contains(&host) => host.to_string(),
        _ => panic!("{execs:?}"),
    }
}

/// How many control planes carry the VIP.
pub(crate) fn holders() -> usize {
    let holds =
        |host: &&&str| on(host, &format!("ip -o addr show | grep -qF ' {VIP}/'")).code == Some(0);
    CONTROL_PLANES.iter().filter(holds).count()
}

/// The digest of a host's file; empty where there is none.
pub(crate) fn digest(host: &str, path: &str) -> String {
    on(host, &format!("sha256sum <{path} | cut -d' ' -f1"))
        .out
        .trim()
        .to_string()
}

/// Which process and which start of a unit runs.
pub(crate) fn incarnation(host: &str, unit: &str) -> String {
    on(host, &format!("systemctl show -p MainPID -p InvocationID -p ActiveState -p ActiveEnterTimestampMonotonic {unit}"))
        .good("systemctl show")
}

/// What `plan` must not change: all files that are anybody's settings, and which units run.
pub(crate) fn snapshot(host: &str) -> String {
    on(
        host,
        "for tree in /etc /usr/local /opt /root /var/lib/quorate /var/lib/kubelet/config.yaml; do
             find $tree -xdev -printf '%p %y %m %U %G %s %T@ %C@\\n' 2>/dev/null
         done | sort
         systemctl list-units --all --plain --no-legend --type=service,socket,timer,mount | awk '$1 !~ /^(user|session|run-|var-lib-)/ { print $1, $3, $4 }' | sort
         sysctl -n net.ipv4.ip_forward",
    )
    .good("a snapshot")
}

/// The number of logins and of sessions in sshd's own log, over all that is in it.
pub(crate) fn sshd_counts(host: &str) -> (usize, usize) {
    let log = on(host, "journalctl -u ssh -o cat --no-pager").good("sshd's log");
    let starting = |what: &str| log.lines().filter(|l| l.starts_with(what)).count();
    (
        starting("Accepted publickey "),
        starting("Starting session: "),
    )
}
