//! Runs that change nothing: `plan` and `status`.

use super::Settings;
use super::state::State;
use crate::cluster::load_balancer::Holders;
use crate::cluster::{self, Standing};
use crate::event::{Event, PlannedChange};
use crate::host::fact::Reach;
use crate::host::{Fact, Known};
use crate::model::HostName;

/// Says what `apply` would do.
pub async fn plan(settings: &Settings) {
    start(settings).await;
    let mut state = State::look(settings).await;
    // A host that was not read has no plan, and nothing is known of the cluster without it.
    if settings.cancel.is_asked() {
        interrupted(settings).await;
    } else {
        report_plan(&state).await;
    }
    state.close().await;
}

async fn interrupted(settings: &Settings) {
    settings
        .emit(Event::Interrupted { hosts: Vec::new() })
        .await;
}

/// Says why going on would be unsafe.
pub(super) async fn refuse(settings: &Settings, refusal: cluster::next::Refusal) {
    settings
        .emit(Event::Refused {
            hosts: refusal.hosts,
            message: refusal.message,
            help: Some(refusal.help),
        })
        .await;
}

/// Emits the first event of a run.
pub(super) async fn announce(settings: &Settings) {
    let event = Event::RunStarted {
        run: settings.run.clone(),
        command: settings.command.clone(),
        cluster: settings.cluster.clone(),
        user: settings.owner.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        hosts: settings.asked(),
    };
    settings.emit(event).await;
}

/// Says which hosts are looked at now.
pub(super) async fn probing(settings: &Settings, hosts: Vec<HostName>) {
    let act = "probe".into();
    settings.emit(Event::ActStarted { act, hosts }).await;
}

/// Emits the first events of a run that begins with a look at all hosts.
pub(super) async fn start(settings: &Settings) {
    announce(settings).await;
    probing(settings, settings.asked()).await;
}

async fn report_plan(state: &State) {
    let settings = &state.settings;
    let ours: Vec<HostName> = state
        .hosts
        .keys()
        .filter(|h| settings.is_ours(h))
        .cloned()
        .collect();
    state.report_unchanged(ours.iter().cloned()).await;
    for (name, host) in state
        .hosts
        .iter()
        .filter(|(name, _)| settings.is_ours(name))
    {
        // A command that changes nothing (`changed_when: false`) is run, and is no difference.
        let changing = |step: &&crate::plan::Step| step.report != crate::host::script::Report::Ok;
        for step in host.plan.steps.iter().filter(changing) {
            let event = Event::Planned {
                host: name.clone(),
                title: step.title.clone(),
                changes: step.planned(),
                disturbs: step.disturbs,
            };
            settings.emit(event).await;
        }
        for handler in &host.plan.handlers {
            for step in &handler.steps {
                let why = if handler.pending {
                    "left pending by an earlier run"
                } else {
                    "notified by a change above"
                };
                let changes = step
                    .planned()
                    .into_iter()
                    .map(|c| PlannedChange {
                        why: why.into(),
                        ..c
                    })
                    .collect();
                let event = Event::Planned {
                    host: name.clone(),
                    title: step.title.clone(),
                    changes,
                    disturbs: step.disturbs,
                };
                settings.emit(event).await;
            }
        }
        for title in &host.plan.known_after_apply {
            let changes = vec![PlannedChange {
                what: "not decided yet".into(),
                why: "known after apply".into(),
                diff: None,
            }];
            settings
                .emit(Event::Planned {
                    host: name.clone(),
                    title: title.clone(),
                    changes,
                    disturbs: false,
                })
                .await;
        }
    }
    let shape = settings.desired.shape();
    if let Some(refusal) = cluster::next::forbidden(shape, &state.view) {
        refuse(settings, refusal).await;
        return;
    }
    warn_of_endpoint(state).await;
    let forecast = cluster::next::forecast(shape, &state.view);
    for (host, what, why) in forecast
        .acts
        .into_iter()
        .filter(|(host, ..)| settings.is_ours(host))
    {
        let changes = vec![PlannedChange {
            what,
            why,
            diff: None,
        }];
        settings
            .emit(Event::Planned {
                host,
                title: "cluster".into(),
                changes,
                disturbs: false,
            })
            .await;
    }
    if let Some((message, help)) = forecast.failure {
        let message = format!("apply would fail: {message}; {help}");
        settings
            .emit(Event::Warning {
                host: None,
                message,
            })
            .await;
    }
    if let Some(refusal) = forecast.refusal {
        refuse(settings, refusal).await;
    }
    if let Some((summary, healthy)) = summary(state) {
        settings.emit(Event::Cluster { summary, healthy }).await;
    }
}

/// Returns one sentence on the cluster and whether it is as it should be; `None` where there is none yet.
pub(super) fn summary(state: &State) -> Option<(String, bool)> {
    let (_, api) = state.view.api()?;
    let shape = state.settings.desired.shape();
    let nodes = api.nodes.as_deref().unwrap_or_default();
    let wanted = shape.control_planes.len() + shape.workers.len();
    let ready = nodes.iter().filter(|n| n.is_ready()).count();
    let voters = api
        .members
        .as_ref()
        .map(|m| m.iter().filter(|m| !m.learner).count());
    let rule = state.settings.desired.holders();
    let carriers = &shape.load_balancers;
    let holders = state.view.vip_holders(carriers);
    let mut parts = vec![format!("{ready} of {wanted} nodes Ready")];
    parts.extend(api.version.iter().cloned());
    parts.extend(voters.map(|v| format!("{v} etcd members")));
    let mut healthy =
        ready >= wanted || (!state.settings.desired.has_network() && nodes.len() >= wanted);
    if let Some(vip) = state
        .settings
        .desired
        .vip()
        .filter(|_| !carriers.is_empty())
    {
        match holders.as_slice() {
            many if rule == Holders::Each => {
                parts.push(format!("{vip} on {} of {}", many.len(), carriers.len()));
            }
            [holder] => parts.push(format!("{vip} on {holder}")),
            [] => parts.push(format!("{vip} on no host")),
            many => parts.push(format!("{vip} on {} hosts: {}", many.len(), join(many))),
        }
        healthy &= match rule {
            Holders::One => holders.len() == 1,
            Holders::Each => holders.len() == carriers.len(),
        };
    }
    if state.settings.desired.is_external() {
        let (said, well) = external(state);
        parts.push(said);
        healthy &= well;
    }
    if !state.settings.desired.has_network() && ready < wanted {
        parts.push("nodes are not Ready until a network (CNI) is installed".into());
    }
    let unlisted: Vec<&HostName> = shape
        .control_planes
        .iter()
        .chain(&shape.workers)
        .filter(|name| !nodes.iter().any(|n| n.name == name.as_str()))
        .collect();
    if !unlisted.is_empty() {
        parts.push(format!("not in it: {}", join(&unlisted)));
        healthy = false;
    }
    let extra: Vec<&str> = nodes
        .iter()
        .map(|n| n.name.as_str())
        .filter(|n| {
            !shape
                .control_planes
                .iter()
                .chain(&shape.workers)
                .any(|h| h.as_str() == *n)
        })
        .collect();
    if !extra.is_empty() {
        parts.push(format!(
            "not in the inventory any more: {} (to remove one: `kubectl drain NODE --ignore-daemonsets`, `kubectl delete node NODE`, `kubeadm reset` there)",
            extra.join(", ")
        ));
    }
    Some((parts.join(" · "), healthy))
}

/// Says how somebody else's load balancer answers from the nodes, and whether it is well.
fn external(state: &State) -> (String, bool) {
    let shape = state.settings.desired.shape();
    let endpoint = &shape.endpoint;
    let member = |n: &&HostName| state.view.node(n).is_some();
    let asked: Vec<(&HostName, Reach)> = shape
        .nodes()
        .filter(member)
        .filter_map(|n| Some((n, state.view.hosts.get(n)?.reach?)))
        .collect();
    let ill: Vec<String> = asked
        .iter()
        .filter(|(_, reach)| !reach.is_well())
        .map(|(name, reach)| format!("{name} ({reach})"))
        .collect();
    if ill.is_empty() {
        let count = asked.len();
        return (format!("{endpoint} answers from {count} nodes"), true);
    }
    let said = format!("{endpoint} does not answer from {}", ill.join(", "));
    (said, false)
}

/// Says before a cluster begins from where somebody else's load balancer accepts nothing: it may wait for its backends.
pub(super) async fn warn_of_endpoint(state: &State) {
    let settings = &state.settings;
    let shape = settings.desired.shape();
    if !settings.desired.is_external() || state.view.api().is_some() {
        return;
    }
    let shut = |n: &&HostName| {
        let reach = state.view.hosts.get(*n).and_then(|h| h.reach);
        matches!(reach, Some(Reach::Refused | Reach::Silent))
    };
    let hosts: Vec<&HostName> = shape.nodes().filter(shut).collect();
    if hosts.is_empty() {
        return;
    }
    let message = format!(
        "{} accepts no connection yet from {}: a load balancer without a healthy backend may refuse; init will wait for it to answer, and fail if it never does",
        shape.endpoint,
        join(&hosts)
    );
    settings
        .emit(Event::Warning {
            host: None,
            message,
        })
        .await;
}

fn join(names: &[&HostName]) -> String {
    names
        .iter()
        .map(|n| n.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Shows the state of hosts and cluster, one line a host.
pub async fn status(settings: &Settings) {
    start(settings).await;
    let mut state = State::look(settings).await;
    if settings.cancel.is_asked() {
        interrupted(settings).await;
        state.close().await;
        return;
    }
    let shape = settings.desired.shape();
    let seen = state.hosts.iter().filter(|(_, h)| h.session.is_some());
    let (names, rows): (Vec<_>, Vec<_>) = seen
        .map(|(name, host)| (name.clone(), host_status(&state, name, host)))
        .unzip();
    for (host, line) in names.into_iter().zip(aligned(&rows)) {
        settings
            .emit(Event::Output {
                host,
                stderr: false,
                line,
            })
            .await;
    }
    let event = match summary(&state) {
        Some((summary, healthy)) => {
            let reached = !state
                .hosts
                .values()
                .any(|h| matches!(h.standing, Standing::Unknown(_)));
            Event::Cluster {
                summary,
                healthy: healthy && reached,
            }
        }
        None => Event::Cluster {
            summary: format!("no API server answers for {}", shape.endpoint),
            healthy: false,
        },
    };
    settings.emit(event).await;
    state.close().await;
}

/// Returns how a unit or a static pod is.
fn running<'a>(host: &'a super::state::HostState, fact: &Fact) -> &'a str {
    match fact {
        Fact::Unit(unit) => match host.observed.unit(unit) {
            Known::Is(state) if state.is_active() => "active",
            Known::Is(state) if !state.active.is_empty() => &state.active,
            _ => "unknown",
        },
        Fact::Pod(pod) => match host.observed.pod(pod) {
            Known::Is(true) => "running",
            Known::Is(false) => "not running",
            Known::Unknown => "unknown",
        },
        _ => "unknown",
    }
}

/// Returns one line a row, each column as wide as its widest cell; a column that is empty everywhere is left out.
fn aligned(rows: &[Cells]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &Cells| {
        let cells = row.iter().zip(widths).filter(|(_, width)| *width > 0);
        let padded: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        padded.join("   ").trim_end().to_string()
    };
    rows.iter().map(line).collect()
}

/// How many things are told of a host.
const COLUMNS: usize = 6;
/// The VIP, the load balancer, the API server, etcd, the node, certificates.
type Cells = [String; COLUMNS];

/// Returns what is worth knowing of a host.
fn host_status(state: &State, name: &HostName, host: &super::state::HostState) -> Cells {
    let shape = state.settings.desired.shape();
    let [mut vip, mut balancer, mut server, mut etcd, mut expiry] =
        std::array::from_fn(|_| String::new());
    if shape.load_balancers.contains(name) {
        if state.view.hosts.get(name).is_some_and(|h| h.holds_vip) {
            vip = "VIP".into();
        }
        if state.view.hosts.get(name).is_some_and(|h| h.moving.bridge) {
            vip = "VIP by the bridge of a move".into();
        }
        let balancers = state.settings.desired.balancers(name);
        let shown = |(name, fact): &(&str, Fact)| format!("{name} {}", running(host, fact));
        balancer = balancers.iter().map(shown).collect::<Vec<_>>().join(", ");
    }
    if let Some(reach) = host.observed.reach {
        balancer = format!("endpoint {reach}");
    }
    if let Some(kubernetes) = &host.observed.kubernetes {
        if let Some(api) = &kubernetes.api {
            let health = if api.ready {
                "ready"
            } else if api.live {
                "live, not ready"
            } else {
                "down"
            };
            server = format!("api {health}");
            let mut members = api.members.iter().flatten();
            if let Some(member) = members.find(|m| m.name == name.as_str()) {
                etcd = match (member.learner, api.leads) {
                    (true, _) => "etcd learner".into(),
                    (false, Some(true)) => "etcd leader".into(),
                    (false, _) => "etcd voting".into(),
                };
            }
        }
        let days = |end: i64| (end - host.observed.system.clock) / 86_400;
        if let Some(end) = kubernetes.certificate_expiry {
            expiry = format!("certificate {} days", days(end));
        }
        let client = kubernetes.kube_vip.as_ref().and_then(|k| k.client.as_ref());
        if let Some(client) = client.filter(|_| shape.load_balancers.contains(name)) {
            expiry.push_str(&format!(
                ", kube-vip's certificate {} days",
                days(client.not_after)
            ));
        }
    }
    let node = match state.view.node(name) {
        Some(node) => format!("node {} {}", node.status, node.version),
        None if shape.control_planes.contains(name) || shape.workers.contains(name) => {
            "not in the cluster".into()
        }
        None => String::new(),
    };
    [vip, balancer, server, etcd, node, expiry]
}
