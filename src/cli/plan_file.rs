//! Plan files: what `plan --out` writes about its origin, and what `apply FILE` asks of a file before it contacts anybody.

use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::Result;

use super::WrongInput;
use super::project::Project;
use super::request::{Command, Request};
use super::run::{print, wrong};
use super::views;
use crate::bounded;
use crate::event::{ExitCode, PlanFile, PlanOrigin};
use crate::model::{Diagnostic, HostName, Shard, ShardError};

/// A larger file is no plan: that of 1,000 hosts with 200 steps each has 40 MB.
const LARGEST: u64 = 256 << 20;
const AGAIN: &str = "make a new plan with `quorate plan --out FILE`, look at it, and apply that";

/// Reads the plan file of `apply FILE`, and takes the choice of hosts and tasks from it: a plan is carried out as it was made.
pub(super) fn adopt(request: &mut Request) -> Result<Option<(Utf8PathBuf, PlanFile)>> {
    let Command::Apply { plan: Some(path) } = &request.command else {
        return Ok(None);
    };
    let path = path.clone();
    let plan = read(&path)?;
    let origin = &plan.origin;
    let differs = [
        (
            "--limit",
            request.limit.is_some() && request.limit != origin.limit,
        ),
        (
            "--shard",
            request.shard.is_some() && shard(&request.shard) != origin.shard,
        ),
        (
            "--tags",
            !request.tags.is_empty() && request.tags != origin.tags,
        ),
        (
            "--skip-tags",
            !request.skip_tags.is_empty() && request.skip_tags != origin.skip_tags,
        ),
    ];
    if let Some((flag, _)) = differs.iter().find(|(_, differs)| *differs) {
        let message = format!("`{flag}` says something else than it said when {path} was made");
        return Err(error(message, "leave it out: the file knows what it was made for; for another choice make another plan").into());
    }
    request.limit.clone_from(&origin.limit);
    request.shard = match &origin.shard {
        Some(text) => Some(
            text.parse()
                .map_err(|found: ShardError| error(format!("{path}: {found}"), AGAIN))?,
        ),
        None => None,
    };
    request.tags.clone_from(&origin.tags);
    request.skip_tags.clone_from(&origin.skip_tags);
    Ok(Some((path, plan)))
}

fn read(path: &Utf8Path) -> Result<PlanFile, WrongInput> {
    let cannot = |why: String| {
        error(
            format!("cannot read the plan file {path}: {why}"),
            "`quorate plan --out FILE` writes one",
        )
    };
    let mut text = String::new();
    let file = bounded::open(path).map_err(|error| cannot(error.to_string()))?;
    match file.take(LARGEST).read_to_string(&mut text) {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => text.clear(),
        Err(error) => return Err(cannot(error.to_string())),
        Ok(_) => {}
    }
    PlanFile::parse(&text).map_err(|found| error(format!("{path}: {found}"), AGAIN))
}

/// Returns what a plan of this request is of.
pub(super) fn origin(request: &Request, project: &Project) -> PlanOrigin {
    let spec = &project.spec;
    PlanOrigin {
        cluster: spec.name.clone(),
        endpoint: spec.endpoint.to_string(),
        inventory: spec.hosts.keys().chain(project.others()).cloned().collect(),
        limit: request.limit.clone(),
        shard: shard(&request.shard),
        tags: request.tags.clone(),
        skip_tags: request.skip_tags.clone(),
        extra_vars: extra_vars(project),
    }
}

/// Returns the names of the variables that `-e` sets.
pub(super) fn extra_vars(project: &Project) -> Vec<String> {
    let mut names: Vec<String> = project.inventory.extra.keys().cloned().collect();
    names.sort();
    names
}

/// Returns a warning where a plan was made with `-e` and the request has none: input that is wrong may be so for want of it.
pub(super) fn lacks_extra_vars(request: &Request, plan: &PlanFile) -> Option<Diagnostic> {
    let otherwise = plan.origin.other_extra_vars(&[])?;
    let warning = Diagnostic::warning(otherwise).help("give the same `-e` to `apply FILE`");
    request.extra_vars.is_empty().then_some(warning)
}

/// Returns `--shard` as a plan file has it.
fn shard(shard: &Option<Shard>) -> Option<String> {
    shard.map(|shard| shard.to_string())
}

/// Says whether a plan is of this inventory.
pub(super) fn fits(path: &Utf8Path, plan: &PlanFile, here: &PlanOrigin) -> Result<(), WrongInput> {
    let there = &plan.origin;
    let mut differs = Vec::new();
    for (what, theirs, ours) in [
        ("cluster_name", &there.cluster, &here.cluster),
        ("the endpoint", &there.endpoint, &here.endpoint),
    ] {
        if theirs != ours {
            differs.push(format!("{what} is `{theirs}` there and `{ours}` here"));
        }
    }
    let only = |one: &[HostName], other: &[HostName]| {
        let names = one.iter().filter(|host| !other.contains(host));
        names.map(HostName::as_str).collect::<Vec<_>>().join(", ")
    };
    let gone = only(&there.inventory, &here.inventory);
    let new = only(&here.inventory, &there.inventory);
    if !gone.is_empty() {
        differs.push(format!("the inventory has no {gone}"));
    }
    if !new.is_empty() {
        differs.push(format!("the plan knows no {new}"));
    }
    if differs.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{path} is the plan of another inventory: {}",
        differs.join("; ")
    );
    Err(error(
        message,
        "name its inventory with `-i`, or make a new plan with `quorate plan --out FILE`",
    ))
}

/// Says before anybody is contacted whether the files that the run is to write have a folder.
pub(super) fn has_room(request: &Request) -> Result<(), WrongInput> {
    if let Command::Plan { out: Some(path) } = &request.command {
        room("--out", path)?;
        // An inventory or a key that stands there is not to be lost for a slip of the hand.
        let holds_something = std::fs::metadata(path).is_ok_and(|there| there.len() > 0);
        if holds_something && read(path).is_err() {
            return Err(error(
                format!("`--out {path}`: there is a file that is no plan of quorate's"),
                "name another file, or remove that one first",
            ));
        }
    }
    match &request.metrics {
        Some(path) => room("--metrics", path),
        None => Ok(()),
    }
}

fn room(flag: &str, path: &Utf8Path) -> Result<(), WrongInput> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_str().is_empty() => folder,
        _ => Utf8Path::new("."),
    };
    if path.file_name().is_none() || path.is_dir() {
        return Err(error(
            format!("`{flag} {path}` names no file"),
            "name a file that is to be written",
        ));
    }
    // It would be renamed over: /dev/null would be gone for the whole machine.
    if path.exists() && !path.is_file() {
        return Err(error(
            format!("`{flag} {path}`: it is no regular file"),
            "name a file that is to be written or replaced",
        ));
    }
    if !folder.is_dir() {
        return Err(error(
            format!("`{flag} {path}`: there is no folder {folder}"),
            "make it first",
        ));
    }
    Ok(())
}

/// Says where the plan lies, or that there is none.
pub(super) fn say(request: &Request, exit: ExitCode) -> Result<()> {
    let Command::Plan { out: Some(path) } = &request.command else {
        return Ok(());
    };
    if views::is_json(request) {
        return Ok(());
    }
    let text = match exit {
        ExitCode::Done | ExitCode::Changes => {
            format!("plan file: {path}; to carry it out: quorate apply {path}\n")
        }
        ExitCode::Unreachable => {
            format!("plan file: {path}, without the hosts that could not be read\n")
        }
        _ => format!("no plan file was written: {path}\n"),
    };
    print(request, &text)
}

fn error(message: String, help: &str) -> WrongInput {
    wrong(Diagnostic::error(message).help(help))
}
