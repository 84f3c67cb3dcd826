//! Runs that change nothing: `plan` and `status`.

use super::Settings;
use super::health::{self, join, running, summary};
use super::planned;
use super::preflight;
use super::seen;
use super::state::State;
use crate::cluster::addons;
use crate::cluster::drift::stage::{self, Left, Stage};
use crate::cluster::{self, Standing, View};
use crate::event::Event;
use crate::host::Fact;
use crate::host::fact::Reach;
use crate::model::HostName;

/// Says what `apply` would do.
pub async fn plan(settings: &Settings) {
    start(settings).await;
    let mut state = State::look(settings).await;
    // A host that was not read has no plan, and nothing is known of the cluster without it.
    if settings.cancel.is_asked() {
        interrupted(settings).await;
    } else {
        report_plan(&mut state).await;
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

async fn report_plan(state: &mut State) {
    let settings = &state.settings.clone();
    let ours: Vec<HostName> = state
        .hosts
        .keys()
        .filter(|h| settings.is_ours(h))
        .cloned()
        .collect();
    // What will not be done is not listed.
    let shape = settings.desired.shape();
    if let Some(refusal) = cluster::next::forbidden(shape, &state.view) {
        return refuse(settings, refusal).await;
    }
    if !preflight::passes(state).await {
        return;
    }
    state.report_unchanged(ours.iter().cloned()).await;
    let hosts = state.hosts.iter();
    for (name, host) in hosts.filter(|(name, _)| settings.is_ours(name)) {
        for event in planned::of_host(name, &host.plan) {
            settings.emit(event).await;
        }
    }
    warn_of_barred(state).await;
    warn_of_endpoint(state).await;
    let forecast = cluster::next::forecast(shape, &state.view);
    for event in planned::of_cluster(settings, &forecast) {
        settings.emit(event).await;
    }
    if let Some((message, help)) = forecast.failure {
        settings
            .emit(Event::ClusterFailed {
                message: format!("apply would fail: {message}"),
                help: Some(help),
            })
            .await;
    }
    if let Some(refusal) = forecast.refusal {
        refuse(settings, refusal).await;
    }
    let strays = health::strays(state);
    if !strays.is_empty() {
        let event = Event::ClusterFailed {
            message: format!(
                "apply would fail: the virtual address is on {} hosts: {}",
                strays.len(),
                join(&strays.iter().collect::<Vec<_>>())
            ),
            help: health::help_with_strays(state),
        };
        settings.emit(event).await;
    }
    report_left(settings, &state.view).await;
    seen::report(state).await;
    if let Some((summary, healthy)) = summary(state) {
        settings.emit(Event::Cluster { summary, healthy }).await;
    }
}

/// Says which load balancers an apply would not touch, since another one is down.
async fn warn_of_barred(state: &State) {
    let settings = &state.settings;
    let disturbed = state.hosts.iter().filter(|(_, host)| host.plan.disturbs());
    for (name, _) in disturbed.filter(|(name, _)| settings.is_ours(name)) {
        if let Some((other, down)) =
            health::bars(state, name).filter(|_| state.view.api().is_some())
        {
            let down = down.join(", ");
            let event = Event::Warning {
                host: Some(name.clone()),
                message: format!(
                    "apply changes it only when {other} is well again ({down}): one load balancer that is down is enough"
                ),
            };
            settings.emit(event).await;
        }
    }
}

/// Says before a cluster begins from where somebody else's load balancer accepts nothing: it may wait for its backends.
pub(super) async fn warn_of_endpoint(state: &State) {
    let settings = &state.settings;
    let shape = settings.desired.shape();
    if !settings.desired.is_external() || state.view.has_cluster() {
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

/// Says what of kubeadm's own state is not as written and stays so in this run: a warning where the run may not change it, a
/// refusal where that would be unsafe now.
pub(super) async fn report_left(settings: &Settings, view: &View) {
    let shape = settings.desired.shape();
    report_addons(settings, view).await;
    let Stage::Settled(left) = stage::stage(shape, view) else {
        return;
    };
    for Left {
        host,
        message,
        help,
    } in left
    {
        let event = match help {
            None => Event::Warning {
                host: Some(host),
                message,
            },
            help => Event::Refused {
                message: format!("{host}: {message}"),
                hosts: vec![host],
                help,
            },
        };
        settings.emit(event).await;
    }
}

/// Says which manifests could not be compared, and which are not as written and stay so in this run.
async fn report_addons(settings: &Settings, view: &View) {
    for (name, reason) in addons::unknown(view) {
        let event = Event::ClusterFailed {
            message: format!("whether the cluster has {name} as written is not known: {reason}"),
            help: Some("try `kubectl diff --server-side` with it on a control plane".into()),
        };
        settings.emit(event).await;
    }
    if view.may_configure(settings.desired.shape()).is_some() {
        return;
    }
    for (name, said) in addons::due(view) {
        let message = format!(
            "{name} is not as written ({}), and this run may change no control plane",
            addons::told(said)
        );
        settings
            .emit(Event::Warning {
                host: None,
                message,
            })
            .await;
    }
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
    seen::report(&state).await;
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
        let member = state.view.node(name).is_some() || kubernetes.api.is_some();
        if member && shape.control_planes.contains(name) {
            let how = health::server(kubernetes).unwrap_or("unknown");
            server = format!("api {how}");
            let (Ok(how) | Err(how)) = health::etcd(state, name, kubernetes);
            etcd = format!("etcd {how}");
        }
        let clock = host.observed.system.clock;
        let left = |end: i64| match (end - clock) / 86_400 {
            _ if end <= clock => "expired".to_string(),
            days => format!("{days} days"),
        };
        if let Some(end) = kubernetes.certificate_expiry {
            expiry = format!("certificate {}", left(end));
        }
        let client = kubernetes.kube_vip.as_ref().and_then(|k| k.client.as_ref());
        if let Some(client) = client.filter(|_| shape.load_balancers.contains(name)) {
            expiry.push_str(&format!(
                ", kube-vip's certificate {}",
                left(client.not_after)
            ));
        }
    }
    let node = match state.view.node(name) {
        Some(node) => format!("node {} {}", node.status, node.version),
        None if shape.control_planes.contains(name) || shape.workers.contains(name) => {
            let traces = state
                .view
                .hosts
                .get(name)
                .is_some_and(|h| h.shows_membership());
            match (state.view.api(), traces) {
                (Some(_), _) => "not in the cluster".into(),
                (None, true) => "a member, by its files".into(),
                (None, false) => "no trace of a cluster".into(),
            }
        }
        None => String::new(),
    };
    [vip, balancer, server, etcd, node, expiry]
}
