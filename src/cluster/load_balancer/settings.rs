//! Variables of the load balancer's own roles, held against the cluster's.

use crate::cluster::spec::{ClusterSpec, HostSpec, Profile, Way, taken};
use crate::inventory::Variables;
use crate::model::{Diagnostic, Endpoint, Value};
use crate::role::Library;
use crate::template::Scope;

const HEALTH_PORT: &str = "haproxy_health_port";
const METRICS: &str = "kube_vip_prometheus";
const ADVERTS: &str = "keepalived_advert_interval";

/// Seconds: the shortest interval of adverts that bore a busy host. With 0.1 the address was on two hosts for 0.65 s in a lab
/// whose machine was overloaded (docs/benchmarks.md, 22 November 2026).
const SHORTEST: f64 = 0.15;

/// Variables that the profile `fast` alone reads, by role.
const FAST_ALONE: &[(&str, &[&str])] = &[
    (
        "keepalived",
        &[
            ADVERTS,
            "keepalived_check_interval",
            "keepalived_check_fall",
            "keepalived_check_rise",
            "keepalived_check_limit",
        ],
    ),
    (
        "haproxy",
        &["haproxy_maxconn", HEALTH_PORT, "haproxy_pod_user"],
    ),
    (
        "kube_vip",
        &[
            "kube_vip_health_period",
            "kube_vip_health_timeout",
            "kube_vip_health_failures",
        ],
    ),
];

/// Returns a role's variable: the host's, else the role's default where that is no template.
pub fn setting(library: &Library, scope: &Scope, role: &str, name: &str) -> Option<Value> {
    match scope.get(name) {
        Some(value) => value.ok(),
        None => Some(library.get(role).ok()?.defaults.get(name)?.value.clone()),
    }
}

/// Returns the port of haproxy's own health, where the load balancer has one.
pub fn health_port(spec: &ClusterSpec, library: &Library, scope: &Scope) -> Option<u64> {
    let balancer = &spec.load_balancer;
    if !balancer.way.uses_vrrp() || balancer.profile != Profile::Fast {
        return None;
    }
    let port = setting(library, scope, "haproxy", HEALTH_PORT)?;
    port.as_u64().or_else(|| port.as_str()?.parse().ok())
}

/// Returns what is wrong with the variables of a load-balancer host: ports on which somebody else listens, adverts that are too
/// short, and variables that nothing reads. `set` are the host's variables as the inventory has them.
pub fn findings(
    spec: &ClusterSpec,
    host: &HostSpec,
    library: &Library,
    scope: &Scope,
    set: &Variables,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let Some(port) = health_port(spec, library, scope).and_then(|p| u16::try_from(p).ok()) {
        let help = "haproxy tells its own health there, on 127.0.0.1: choose a free port";
        found.extend(collides(spec, host, set, HEALTH_PORT, port, help));
    }
    found.extend(metrics(spec, host, library, scope, set));
    found.extend(adverts(spec, library, scope));
    found.extend(unread(spec, library, scope));
    found
}

/// Returns that a port is taken, by the cluster's own variables or whatever they say.
fn collides(
    spec: &ClusterSpec,
    host: &HostSpec,
    set: &Variables,
    name: &str,
    port: u16,
    help: &str,
) -> Option<Diagnostic> {
    let balancer = &spec.load_balancer;
    let haproxy = balancer.way.uses_vrrp();
    // In the scope the cluster's own variables have no place any more.
    let place = |name: &str| set.get(name)?.origin.span.clone();
    let others = [
        ("apiserver_dest_port", balancer.dest_port, haproxy),
        (
            "apiserver_src_port",
            balancer.src_port,
            host.roles.control_plane,
        ),
    ];
    let other = others.iter().find(|(_, taken, on)| *on && *taken == port);
    let error = match other {
        Some((other, ..)) => Diagnostic::error(format!("`{name}` is {port}, and so is `{other}`"))
            .at(place(name).or_else(|| place(other))),
        None => {
            let owner = taken(port, host.roles)?;
            Diagnostic::error(format!("`{name}` cannot be {port}: {owner} listens there"))
                .at(place(name))
        }
    };
    Some(error.help(help))
}

/// Returns what is wrong with the place of kube-vip's metrics. kube-vip may be up before the API server, and have its port first.
fn metrics(
    spec: &ClusterSpec,
    host: &HostSpec,
    library: &Library,
    scope: &Scope,
    set: &Variables,
) -> Option<Diagnostic> {
    if !spec.load_balancer.way.uses_kube_vip() {
        return None;
    }
    let place = match setting(library, scope, "kube_vip", METRICS)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        // That it is none is told by the role's own words about it.
        _ => return None,
    };
    // Without an address it is on all of them (net.Listen of Go, by which kube-vip serves them).
    let whole = match place.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => place.clone(),
    };
    let help = "kube-vip serves its metrics there: as in \":2112\", or \"127.0.0.1:2112\"";
    let Ok(endpoint) = whole.parse::<Endpoint>() else {
        let message = format!(
            "`{METRICS}` is an address and a port, not `{}`",
            place.escape_debug()
        );
        return Some(
            Diagnostic::error(message)
                .at(scope.span(METRICS))
                .help(help),
        );
    };
    collides(spec, host, set, METRICS, endpoint.port(), help)
}

/// Returns that adverts follow each other more closely than hosts and networks bear.
fn adverts(spec: &ClusterSpec, library: &Library, scope: &Scope) -> Option<Diagnostic> {
    let balancer = &spec.load_balancer;
    if !balancer.way.uses_vrrp() || balancer.profile != Profile::Fast {
        return None;
    }
    let interval = setting(library, scope, "keepalived", ADVERTS)?;
    let interval = interval
        .as_f64()
        .or_else(|| interval.as_str()?.trim().parse().ok())?;
    // Less than 0.01 s is refused by the role.
    if !(0.01..SHORTEST).contains(&interval) {
        return None;
    }
    let message = format!(
        "`{ADVERTS}` is {interval} s: where three adverts in a row are late, on a busy host or network, a second host takes the address"
    );
    let warning = Diagnostic::warning(message).at(scope.span(ADVERTS));
    Some(warning.help(
        "0.15 is the shortest that bore a busy host; with 0.1 the address was on two hosts for 0.65 s (docs/load-balancing.md)",
    ))
}

/// Returns that variables are set which the profile or the way does not read. A role of the user's own may read them.
fn unread(spec: &ClusterSpec, library: &Library, scope: &Scope) -> Vec<Diagnostic> {
    let balancer = &spec.load_balancer;
    let mut found = Vec::new();
    for (role, names) in FAST_ALONE {
        let applies = match *role {
            "kube_vip" => balancer.way == Way::KubeVipBgp,
            _ => balancer.way.uses_vrrp(),
        };
        let is_builtin = library.get(role).is_ok_and(|role| role.is_builtin());
        if balancer.profile == Profile::Fast || !applies || !is_builtin {
            continue;
        }
        for name in names.iter().filter(|name| scope.contains(name)) {
            let warning = Diagnostic::warning(format!(
                "`{name}` means nothing with the profile `seed`: the document's own text has no place for it"
            ));
            found.push(
                warning
                    .at(scope.span(name))
                    .help("leave it out, or set `load_balancer_profile: fast`"),
            );
        }
    }
    found
}
