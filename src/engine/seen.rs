//! How each host was seen to stand in its cluster, for pages and metrics.

use jiff::Timestamp;

use super::health;
use super::state::{HostState, State};
use crate::event::{Certificate, Event, Part, Seen};
use crate::host::Known;
use crate::model::HostName;

/// How many handlers that nobody runs are named of a host.
const MOST_HANDLERS: usize = 20;

/// Says of each host of the cluster that was read how it stands, and what lies among its static pods that is none; of each host,
/// which handlers wait there for ever.
pub(super) async fn report(state: &State) {
    for (name, host) in state.hosts.iter().filter(|(_, h)| h.session.is_some()) {
        let left = state.settings.desired.left_pending(name, &host.observed);
        warn(state, name, left.into_iter().take(MOST_HANDLERS)).await;
    }
    let ill = health::ill(state);
    let shape = state.settings.desired.shape();
    let hosts = state.hosts.iter();
    for (name, host) in hosts.filter(|(name, h)| h.session.is_some() && shape.has(name)) {
        let mut seen = seen(state, name, host);
        let down = ill.iter().filter(|(of, _)| of == name);
        let down = down.flat_map(|(_, down)| down);
        seen.ill = down.map(|down| down.said.clone()).collect();
        let host_seen = Event::HostSeen {
            host: name.clone(),
            seen,
        };
        state.settings.emit(host_seen).await;
        let kubernetes = host.observed.kubernetes.as_ref();
        let copies = kubernetes.iter().flat_map(|k| &k.copies).map(|copy| {
            format!("{copy} is a pod too: the kubelet starts every file of that folder; move it elsewhere")
        });
        // What a role of the inventory writes is compared.
        let additions = host.observed.additions.iter().flatten();
        let unasked = additions.filter(|path| host.observed.file(path) == Known::Unknown);
        let additions = unasked.map(|path| {
            format!("{path} adds to a service that quorate sets up: what it says is not compared")
        });
        warn(state, name, copies.chain(additions)).await;
    }
}

async fn warn(state: &State, host: &HostName, messages: impl Iterator<Item = String>) {
    for message in messages {
        let event = Event::Warning {
            host: Some(host.clone()),
            message,
        };
        state.settings.emit(event).await;
    }
}

fn seen(state: &State, name: &HostName, host: &HostState) -> Seen {
    let desired = &state.settings.desired;
    let shape = desired.shape();
    let parts = [
        (Part::ControlPlane, shape.control_planes.contains(name)),
        (Part::LoadBalancer, shape.load_balancers.contains(name)),
        (Part::Worker, shape.workers.contains(name)),
    ];
    let holds = state.view.hosts.get(name).is_some_and(|h| h.holds_vip);
    let node = state.view.node(name);
    let mut seen = Seen {
        parts: parts
            .into_iter()
            .filter_map(|(part, is)| is.then_some(part))
            .collect(),
        vip: desired.vip().filter(|_| holds),
        node: node.map(|node| format!("{} {}", node.status, node.version)),
        ..Seen::default()
    };
    let Some(kubernetes) = &host.observed.kubernetes else {
        return seen;
    };
    let member = node.is_some() || kubernetes.api.is_some();
    if member && shape.control_planes.contains(name) {
        seen.api = health::server(kubernetes).map(Into::into);
        let (Ok(how) | Err(how)) = health::etcd(state, name, kubernetes);
        seen.etcd = Some(how.into());
    }
    let client = kubernetes.kube_vip.as_ref().and_then(|k| k.client.as_ref());
    let ends = [
        ("apiserver", kubernetes.certificate_expiry),
        ("kube-vip", client.map(|client| client.not_after)),
    ];
    let certificate = |(name, end): (&str, Option<i64>)| {
        let end = end?;
        Some(Certificate {
            name: name.into(),
            not_after: Timestamp::from_second(end).ok()?,
            days: (end - host.observed.system.clock).div_euclid(86_400),
        })
    };
    seen.certificates = ends.into_iter().filter_map(certificate).collect();
    seen
}
