//! `quorate drill`: what the inventory says of the cluster, and whether the user agrees.

use std::sync::Arc;

use color_eyre::eyre::Result;
use indexmap::IndexMap;

use super::access;
use super::ask::agrees;
use super::project::Project;
use super::request::Request;
use super::run::{follow, read, settings, wrong};
use crate::cluster::drill::{Holding, Site, Wish};
use crate::cluster::load_balancer::Holders;
use crate::cluster::spec::HostSpec;
use crate::engine::{self, Desired as _};
use crate::event::ExitCode;
use crate::model::{Diagnostic, HostName};

/// Runs the drill.
pub(super) async fn failover(request: &Request, wish: &Wish) -> Result<ExitCode> {
    let project = read(request)?;
    let site = site(&project);
    if let Some(objection) = wish.objection(&site) {
        return Err(wrong(Diagnostic::error(objection)).into());
    }
    if request.check {
        let error =
            Diagnostic::error("`--check` is apply's: a drill that takes nothing away is none");
        return Err(
            wrong(error.help("`quorate status` shows whether the cluster is whole")).into(),
        );
    }
    let mut wish = wish.clone();
    wish.agreed = wish.agreed || agrees(request, &format!("{}. Go on?", capital(&wish.sentence())));
    // All hosts: whether the cluster can bear a loss is a question to each of them, whatever --limit says.
    let reach = access::reach(request, &project.members()).await?;
    let ours: Vec<HostName> = reach.targets.keys().cloned().collect();
    let cluster = project.spec.name.clone();
    let (settings, events) = settings(request, Arc::new(project), reach, ours, cluster, false);
    follow(request, events, settings, move |settings| async move {
        engine::drill(&settings, &site, &wish).await;
    })
    .await
}

/// Returns the cluster as a drill sees it.
fn site(project: &Project) -> Site {
    let spec = &project.spec;
    let way = spec.load_balancer.way;
    let names = |hosts: &mut dyn Iterator<Item = &HostSpec>| -> Vec<HostName> {
        hosts.map(|h| h.name.clone()).collect()
    };
    let addresses: IndexMap<_, _> = spec
        .hosts
        .iter()
        .map(|(name, host)| (name.clone(), host.ip.address))
        .collect();
    Site {
        endpoint: spec.endpoint.clone(),
        vip: spec.load_balancer.vip,
        holding: match project.holders() {
            _ if !way.has_vip() => Holding::Nobody,
            Holders::Each => Holding::Each,
            Holders::One => Holding::One,
        },
        control_planes: names(&mut spec.control_planes()),
        workers: names(&mut spec.workers()),
        load_balancers: if way.has_vip() {
            names(&mut spec.load_balancers())
        } else {
            Vec::new()
        },
        units: project.units(),
        parts: project.load_balancer_parts(),
        // haproxy's own port; kube-vip leads to the API server's.
        frontend: way.uses_vrrp().then_some(spec.load_balancer.dest_port),
        addresses,
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(chars).collect()
    })
}
