//! Firewalls that keep a cluster's hosts apart: rules as they are read, what is told of them, and what the role opens.

use std::collections::BTreeSet;
use std::sync::Arc;

use quorate::cluster::preflight::Level;
use quorate::cluster::preflight::firewall::{self, Kind, Packet};
use quorate::cluster::spec::ClusterSpec;
use quorate::host::fact::{Firewall, Rules};
use quorate::host::{Content, Effect, probe};
use quorate::inventory::{Input, Inventory, Variables};
use quorate::role::{HostRoles, Library, Registered};
use quorate::template::{Binding, host_scope};
use serde_json::json;

use super::preflight::{Bed, HOSTS, address, spec};
use super::role::AllThere;

const UFW: &str = include_str!("../data/preflight/ufw.iptables");
const FIREWALLD_CLOSED: &str = include_str!("../data/preflight/firewalld-closed.json");
const FIREWALLD_OPEN: &str = include_str!("../data/preflight/firewalld-open.json");

fn packet(from: &str, kind: Kind) -> Packet {
    Packet {
        source: address(from),
        destination: match kind {
            Kind::Vrrp => address("224.0.0.18"),
            Kind::Tcp(_) => address("10.77.0.11"),
        },
        interface: "eth0".into(),
        kind,
    }
}

fn drops(rules: &Rules, from: &str, kind: Kind) -> bool {
    firewall::drops(rules, &packet(from, kind)).unwrap()
}

/// The rules are those of real programs: tests/data/preflight/README.md.
#[test]
fn rules_of_real_firewalls_are_read() {
    let ufw = Rules::Iptables(UFW.into());
    let closed = Rules::Nft(FIREWALLD_CLOSED.into());
    let open = Rules::Nft(FIREWALLD_OPEN.into());
    let cases = [
        (&ufw, "10.77.0.12", Kind::Tcp(6443), false),
        (&ufw, "10.77.0.13", Kind::Tcp(6443), true),
        (&ufw, "10.77.0.13", Kind::Tcp(22), false),
        (&ufw, "10.77.0.13", Kind::Tcp(2380), false),
        (&ufw, "10.77.0.13", Kind::Tcp(10250), false),
        (&ufw, "10.77.0.13", Kind::Tcp(8443), true),
        (&ufw, "10.77.0.12", Kind::Vrrp, false),
        (&ufw, "10.77.0.13", Kind::Vrrp, true),
        (&closed, "10.77.0.12", Kind::Tcp(22), false),
        (&closed, "10.77.0.12", Kind::Tcp(6443), true),
        (&closed, "10.77.0.12", Kind::Vrrp, true),
        (&open, "10.77.0.12", Kind::Tcp(6443), false),
        (&open, "10.77.0.12", Kind::Tcp(2380), false),
        (&open, "10.77.0.99", Kind::Tcp(6443), true),
        (&open, "10.77.0.99", Kind::Tcp(8443), false),
        (&open, "10.77.0.12", Kind::Vrrp, false),
        (&open, "10.77.0.99", Kind::Vrrp, true),
    ];
    for (rules, from, kind, shut) in cases {
        assert_eq!(drops(rules, from, kind), shut, "{from} {kind:?}");
    }
}

fn iptables(policy: &str, rules: &str) -> Rules {
    Rules::Iptables(format!(
        "*filter\n:INPUT {policy} [0:0]\n:x - [0:0]\n{rules}\nCOMMIT\n"
    ))
}

#[test]
fn what_cannot_be_told_counts_as_open() {
    let iptables = |rules: &str| iptables("DROP", rules);
    let cases = [
        ("", true),
        (
            "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            true,
        ),
        (
            "-A INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
            false,
        ),
        ("-A INPUT -i lo -j ACCEPT", true),
        ("-A INPUT ! -i lo -j ACCEPT", false),
        (
            "-A INPUT -i eth+ -p tcp -m tcp --dport 6443 -j ACCEPT",
            false,
        ),
        ("-A INPUT -p udp -m udp --dport 6443 -j ACCEPT", true),
        (
            "-A INPUT -p tcp -m multiport --dports 22,6000:7000 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -p tcp -m multiport ! --dports 22,80 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -s 10.77.0.0/24 -j x\n-A x -p tcp -m tcp --dport 6443 -j ACCEPT",
            false,
        ),
        (
            "-A INPUT -s 10.77.0.0/24 -j x\n-A x -p tcp -m tcp --dport 6443 -j RETURN",
            true,
        ),
        ("-A INPUT -g x\n-A INPUT -j ACCEPT", true),
        ("-A INPUT -m set --match-set peers src -j ACCEPT", false),
        (
            "-A INPUT -m comment --comment \"-j ACCEPT \\\" x\" -j DROP",
            true,
        ),
        ("-A INPUT -j UNHEARD_OF", false),
        ("-A INPUT -j x\n-A x -j x", false),
    ];
    for (rules, shut) in cases {
        let rules_read = iptables(rules);
        assert_eq!(
            drops(&rules_read, "10.77.0.12", Kind::Tcp(6443)),
            shut,
            "{rules}"
        );
    }
    let nft = |expr: serde_json::Value| {
        let chain = json!({"family": "inet", "table": "f", "name": "i", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"});
        let rule = json!({"family": "inet", "table": "f", "chain": "i", "expr": expr});
        Rules::Nft(json!({"nftables": [{"chain": chain}, {"rule": rule}]}).to_string())
    };
    let dport = json!({"payload": {"protocol": "tcp", "field": "dport"}});
    let accept = json!({"accept": null});
    let cases = [
        (json!([]), true),
        (
            json!([{"match": {"op": "==", "left": dport, "right": "@ports"}}, accept]),
            false,
        ),
        (
            json!([{"match": {"op": "!=", "left": dport, "right": {"set": [22, {"range": [6000, 7000]}]}}}, accept]),
            true,
        ),
        (
            json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["lo", accept], ["eth0", {"drop": null}]]}}}]),
            true,
        ),
        (
            json!([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["lo", {"drop": null}], ["eth*", accept]]}}}]),
            false,
        ),
        (
            json!([{"limit": {"rate": 1, "per": "second"}}, accept]),
            false,
        ),
        (
            json!([{"xt": {"type": "match", "name": "conntrack"}}, accept]),
            false,
        ),
        (
            json!([{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, accept]),
            true,
        ),
    ];
    for (expr, shut) in cases {
        let text = expr.to_string();
        assert_eq!(
            drops(&nft(expr), "10.77.0.12", Kind::Tcp(6443)),
            shut,
            "{text}"
        );
    }
    assert_eq!(
        firewall::drops(&Rules::Nft("{".into()), &packet("10.77.0.12", Kind::Vrrp)),
        None
    );
    assert_eq!(
        firewall::drops(&Rules::TooLong, &packet("10.77.0.12", Kind::Vrrp)),
        None
    );
}

#[test]
fn a_closed_firewall_is_told_with_what_opens_it() {
    let bed = Bed::new("");
    let with = |bed: &Bed, manager: Option<Firewall>, rules: Rules| {
        bed.found(|name, seen| {
            if name == "cp1" {
                let preflight = seen.preflight.as_mut().unwrap();
                preflight.firewall = manager;
                preflight.rules = vec![rules.clone()];
            }
        })
    };
    let firewalld = with(
        &bed,
        Some(Firewall::Firewalld),
        Rules::Nft(FIREWALLD_CLOSED.into()),
    );
    assert_eq!(firewalld.len(), 1);
    assert_eq!(firewalld[0].level, Level::Fault);
    insta::assert_snapshot!(
        "firewalld_closed",
        format!("{}\n{}", firewalld[0].text(), firewalld[0].cure)
    );
    let ufw = with(&bed, Some(Firewall::Ufw), Rules::Iptables(UFW.into()));
    insta::assert_snapshot!("ufw_closed", format!("{}\n{}", ufw[0].text(), ufw[0].cure));
    let plain = Rules::Iptables(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dport 10250 -j REJECT\nCOMMIT\n".into(),
    );
    let found = with(&bed, None, plain);
    assert_eq!(
        found[0].level,
        Level::Warning,
        "a cluster comes up without its logs"
    );
    insta::assert_snapshot!(
        "rules_closed",
        format!("{}\n{}", found[0].text(), found[0].cure)
    );
    let answer = "it is multicast alone that is closed";
    for (rules, is_it) in [
        ("-A INPUT -d 224.0.0.0/4 -j DROP", true),
        ("-A INPUT -p 112 -j DROP", false),
        (
            "-A INPUT -d 224.0.0.0/4 -j DROP\n-A INPUT -s 10.77.0.13 -j DROP",
            false,
        ),
    ] {
        let found = with(&bed, None, iptables("ACCEPT", rules));
        assert!(found[0].text().contains("VRRP"), "{rules}");
        assert_eq!(found[0].cure.contains(answer), is_it, "{rules}");
        let unicast = Bed::new("vrrp_unicast: true\n");
        let found = with(&unicast, None, iptables("ACCEPT", rules));
        assert_eq!(found.is_empty(), is_it, "{rules}");
        assert!(!found.iter().any(|f| f.cure.contains(answer)), "{rules}");
    }
    let unread = with(&bed, None, Rules::TooLong);
    assert_eq!((unread.len(), unread[0].level), (1, Level::Warning));
    // It will be opened.
    let mut bed = Bed::new("prepare_firewall: true\n");
    bed.wish.prepare_firewall = true;
    assert_eq!(
        with(&bed, Some(Firewall::Ufw), Rules::Iptables(UFW.into())),
        []
    );
    assert_eq!(
        with(&bed, None, Rules::Iptables(UFW.into())).len(),
        1,
        "whose rules these are is not known"
    );
}

#[test]
fn openings_are_for_the_clusters_hosts() {
    let spec = spec("prepare_firewall: true\n");
    let of = |name: &str| {
        let openings = firewall::openings(&spec, &spec.hosts[name]);
        openings
            .iter()
            .map(|o| {
                format!(
                    "{} {}{}\n",
                    if o.from.is_empty() { "all" } else { &o.from },
                    o.tcp.join(","),
                    if o.vrrp { " vrrp" } else { "" }
                )
            })
            .collect::<String>()
    };
    insta::assert_snapshot!("openings", format!("cp1\n{}w1\n{}", of("cp1"), of("w1")));
}

#[test]
fn the_role_opens_the_firewall_that_runs() {
    let all = "kubernetes_version: \"1.36.3\"\nkubernetes_source: present\napiserver_vip: 10.77.0.100\nprepare_firewall: true\nfirewall_extra_ports: [8472/udp]\n";
    let input = Input::from_text("hosts.yml", HOSTS).with_group_vars("all", "all.yml", all);
    let (inventory, _) = Inventory::build(&input);
    let used = BTreeSet::from(["firewall_extra_ports".to_string()]);
    let spec = ClusterSpec::build(&inventory, &used).0.unwrap();
    let (library, found) = Library::builtin();
    assert!(!found.has_errors(), "{found:#?}");
    let scopes = spec.scopes(&inventory);
    let mut all = String::new();
    for (host, firewalld, ufw) in [
        ("cp1", true, false),
        ("w1", false, true),
        ("w1", false, false),
    ] {
        let mut scope = host_scope(&inventory.hosts[host], &Variables::default(), &scopes);
        for (name, is) in [("has_firewalld", firewalld), ("has_ufw", ufw)] {
            scope.set(name, Binding::fixed(is.into()));
        }
        let roles = HostRoles::new(vec![library.get("firewall").unwrap()], Arc::new(AllThere));
        let facts = roles.facts(&scope).unwrap();
        let seen = probe::parse(&facts, "n", b"n system systemd\nn end\n").unwrap();
        let plan = roles.plan(&scope, &seen, &Registered::default()).unwrap();
        for step in &plan.steps {
            for change in &step.changes {
                let Effect::WriteFile(file) = &change.effect else {
                    panic!("{change:?}")
                };
                let Content::Inline(bytes) = &file.content else {
                    panic!("{} is no text", file.path)
                };
                let text = String::from_utf8_lossy(bytes);
                all.push_str(&format!("{host} {} {}\n{text}\n", file.path, file.mode));
            }
        }
        assert_eq!(plan.steps.is_empty(), !firewalld && !ufw);
        assert_eq!(plan.handlers.is_empty(), !firewalld && !ufw);
    }
    insta::assert_snapshot!("role_firewall", all);
}
