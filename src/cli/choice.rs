//! Which hosts a run is for: `--limit`, and a shard of those.

use color_eyre::eyre::Result;

use super::WrongInput;
use super::project::Project;
use super::request::Request;
use super::run::warn;
use crate::inventory;
use crate::model::{Diagnostic, Diagnostics, HostName, Shard};

/// Returns which of `hosts` are chosen by `--limit` and `--shard`. A shard may be empty, which is said.
pub(super) fn chosen<'a>(
    request: &Request,
    project: &Project,
    hosts: impl Iterator<Item = &'a HostName>,
) -> Result<Vec<HostName>> {
    let limited = limited(request, &project.inventory, hosts)?;
    let all = limited.len();
    let held = limited.iter().filter(|host| {
        request
            .shard
            .is_none_or(|shard| is_in(shard, project, host))
    });
    let ours: Vec<HostName> = held.cloned().collect();
    if let Some(shard) = request.shard.filter(|_| ours.is_empty()) {
        let hosts = if all == 1 {
            "the one host".to_owned()
        } else {
            format!("the {all} hosts")
        };
        let message = format!(
            "shard {shard} holds none of {hosts}: nothing is done, and nobody was contacted"
        );
        warn(request, &Diagnostics(vec![Diagnostic::warning(message)]));
    }
    Ok(ours)
}

/// Returns which of `hosts` are chosen by `--limit`.
pub(super) fn limited<'a>(
    request: &Request,
    inventory: &inventory::Inventory,
    hosts: impl Iterator<Item = &'a HostName>,
) -> Result<Vec<HostName>> {
    let Some(limit) = &request.limit else {
        return Ok(hosts.cloned().collect());
    };
    let chosen = inventory::limit(inventory, limit).map_err(WrongInput)?;
    let limited: Vec<HostName> = hosts
        .filter(|host| chosen.contains(host))
        .cloned()
        .collect();
    if limited.is_empty() {
        let error = Diagnostic::error(format!("`--limit {limit}` chooses no host of the cluster"));
        return Err(WrongInput(Diagnostics(vec![
            error.help("`quorate inventory graph` shows hosts and groups"),
        ]))
        .into());
    }
    Ok(limited)
}

/// Hosts that carry the path to the API stay together, in the first shard: what is done on them has an order, which two runs
/// beside each other would not keep.
fn is_in(shard: Shard, project: &Project, host: &HostName) -> bool {
    let spec = project.spec.hosts.get(host);
    if spec.is_some_and(|spec| spec.roles.control_plane || spec.roles.load_balancer) {
        return shard.is_first();
    }
    shard.holds(host)
}
