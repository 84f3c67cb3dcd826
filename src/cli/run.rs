//! From a request to the engine, and from the events to an exit code.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use color_eyre::eyre::{Result, WrapErr as _};
use jiff::Timestamp;
use rand::Rng as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::WrongInput;
use super::access::{self, Reach};
use super::choice::chosen;
use super::descriptors;
use super::drill;
use super::eject;
use super::plan_file;
use super::project::Project;
use super::request::{Command, HostKey, Request};
use super::trust;
use super::views;
use crate::cluster::spec;
use crate::engine::journal::{self, Journal};
use crate::engine::{self, Cancel, Patience, Settings};
use crate::event::{Event, ExitCode, VERSION};
use crate::inventory;
use crate::model::{Diagnostic, Diagnostics, HostName, Masks, Secret};
use crate::report::{self, Metrics, PLAN_FILE, PlanWriter, Reporters, diagnostics};
use crate::transport::ssh::{HostKeyPolicy, SshOptions};
use crate::transport::{self, Connect, Counters};

/// How many events may wait for whoever prints them.
const EVENTS: usize = 1024;

/// Where this process keeps its journal, for the last sentence of one that leaves at once.
static JOURNAL: OnceLock<Utf8PathBuf> = OnceLock::new();

/// Does what was asked. Wrong input is returned as [`super::WrongInput`], which prints its findings and exits 4.
pub(crate) async fn run(request: Request) -> Result<ExitCode> {
    match &request.command {
        Command::Validate => validate(&request),
        Command::Inventory(view) => views::inventory(&request, view),
        Command::RolesList => views::roles_list(&request),
        Command::RolesShow(name) => views::roles_show(&request, name),
        Command::RolesEject(name) => eject::eject(&request, name),
        Command::VarsExplain { host, name } => views::explain(&request, host, name.as_deref()),
        Command::Exec(words) => exec(&request, words).await,
        Command::HostsTrust => trust::trust(&request).await,
        Command::DrillFailover(wish) => drill::failover(&request, wish).await,
        Command::Plan { .. } | Command::Apply { .. } | Command::Status => converge(request).await,
    }
}

fn validate(request: &Request) -> Result<ExitCode> {
    let project = read(request)?;
    let all = project.spec.hosts.keys().chain(project.others());
    chosen(request, &project, all)?;
    let hosts = project.spec.hosts.len();
    let control_planes = project.spec.control_planes().count();
    let others = project.others().count();
    if views::is_json(request) {
        let sound = serde_json::json!({
            "v": VERSION, "hosts": hosts, "control_planes": control_planes, "others": others,
        });
        print(request, &views::line(sound))?;
        return Ok(ExitCode::Done);
    }
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let (hosts, control_planes) = (count(hosts, "host"), count(control_planes, "control plane"));
    let others = match others {
        0 => String::new(),
        n => format!(", {} outside of the cluster", count(n, "host")),
    };
    print(
        request,
        &format!("{hosts}, {control_planes}{others}: the input is sound. Nobody was contacted.\n"),
    )?;
    Ok(ExitCode::Done)
}

/// Reads everything; warnings are printed, errors end the run.
pub(super) fn read(request: &Request) -> Result<Project> {
    let (project, found) = Project::read(request);
    match project {
        Some(project) if !found.has_errors() => {
            warn(request, &found);
            Ok(project)
        }
        _ => Err(WrongInput(found).into()),
    }
}

pub(super) fn warn(request: &Request, found: &Diagnostics) {
    if found.0.is_empty() {
        return;
    }
    let color = request.report.color;
    let text = if views::is_json(request) {
        diagnostics::json(found)
    } else {
        diagnostics::render(&concealed(found), color.on_stderr())
    };
    // There is nobody left to tell if standard error is closed.
    let _ = color.stderr().write_all(text.as_bytes());
}

/// Returns the findings without the secrets that stand in the lines they show.
pub(super) fn concealed(found: &Diagnostics) -> Diagnostics {
    inventory::conceal(found, &spec::known::is_secret)
}

pub(super) fn print(request: &Request, text: &str) -> Result<()> {
    match request.report.color.stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).wrap_err("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

pub(super) fn wrong(error: Diagnostic) -> WrongInput {
    WrongInput(Diagnostics(vec![error]))
}

/// `plan`, `apply` and `status`.
async fn converge(mut request: Request) -> Result<ExitCode> {
    let approved = plan_file::adopt(&mut request)?;
    let request = &request;
    plan_file::has_room(request)?;
    let project = read(request).inspect_err(|_| {
        let plan = approved.as_ref().map(|(_, plan)| plan);
        let lacks = plan.and_then(|plan| plan_file::lacks_extra_vars(request, plan));
        warn(request, &Diagnostics(lacks.into_iter().collect()));
    })?;
    let origin = plan_file::origin(request, &project);
    // Before the choice of hosts, which stands in the file too.
    if let Some((path, plan)) = &approved {
        plan_file::fits(path, plan, &origin)?;
    }
    // What is no part of the cluster has no part in its state.
    let others = project
        .others()
        .filter(|_| request.command != Command::Status);
    let all = project.spec.hosts.keys().chain(others);
    let ours = chosen(request, &project, all)?;
    if ours.is_empty() {
        return Ok(ExitCode::Done);
    }
    let (forks, found) =
        descriptors::fit(request, ours.len(), project.spec.control_planes().count())?;
    warn(request, &found);
    let reached = match request.command {
        Command::Status => project.members(),
        _ => project.reached(),
    };
    let reach = access::reach(request, &reached).await?;
    let read_only =
        request.check || matches!(request.command, Command::Plan { .. } | Command::Status);
    let cluster = project.spec.name.clone();
    let (mut settings, events) =
        settings(request, Arc::new(project), reach, ours, cluster, read_only);
    settings.forks = forks;
    settings.approved = approved.map(|(_, plan)| Arc::new(plan));
    let mut reporters = reporters(request);
    if let Command::Plan { out: Some(path) } = &request.command {
        let writer = PlanWriter::new(path.clone(), origin);
        reporters = reporters.with(PLAN_FILE, Box::new(writer));
    }
    if let Some(path) = &request.metrics {
        reporters = reporters.with("file of metrics", Box::new(Metrics::new(path.clone())));
    }
    let exit = tell(reporters, events, settings, move |settings| async move {
        match settings.command.as_str() {
            "status" => engine::status(&settings).await,
            "apply" => engine::apply(&settings).await,
            _ => engine::plan(&settings).await,
        }
    })
    .await?;
    plan_file::say(request, exit)?;
    Ok(exit)
}

async fn exec(request: &Request, words: &[String]) -> Result<ExitCode> {
    if request.check {
        let error = Diagnostic::error(
            "what a command of `exec` would do is not known before: there is no `--check` for it",
        );
        return Err(
            wrong(error.help("leave `--check` out, or run a command that only looks")).into(),
        );
    }
    let project = read(request)?;
    let ours = chosen(request, &project, project.spec.hosts.keys())?;
    if ours.is_empty() {
        return Ok(ExitCode::Done);
    }
    let (forks, found) = descriptors::fit(request, ours.len(), 0)?;
    warn(request, &found);
    let mut reached = project.members();
    reached.retain(|(name, _)| ours.contains(name));
    let reach = access::reach(request, &reached).await?;
    let cluster = project.spec.name.clone();
    let (mut settings, events) = settings(request, Arc::new(project), reach, ours, cluster, false);
    settings.forks = forks;
    let words = words.to_vec();
    follow(request, events, settings, move |settings| async move {
        engine::command(&settings, &words).await
    })
    .await
}

pub(super) fn ask_password(request: &Request) -> Result<Option<Secret<String>>> {
    if !request.ask_become_password {
        return Ok(None);
    }
    match rpassword::prompt_password("sudo password: ") {
        Ok(password) => Ok(Some(Secret::new(password))),
        Err(error) => {
            let error = Diagnostic::error(format!("cannot ask for the sudo password: {error}"));
            let help = "`-K` needs a terminal; without one pass `ansible_become_password` in a file with `-e @FILE`, or let sudo ask nothing";
            Err(wrong(error.help(help)).into())
        }
    }
}

pub(super) fn ssh_options(request: &Request) -> SshOptions {
    let mut options = SshOptions::from_environment();
    if let Some(file) = &request.known_hosts {
        // In place of the user's own files; the machine's stay, as with ssh's UserKnownHostsFile.
        options
            .known_hosts
            .retain(|known| known.starts_with("/etc"));
        options.known_hosts.insert(0, file.clone());
    }
    options.host_key_policy = match request.host_key {
        HostKey::Strict => HostKeyPolicy::Strict,
        HostKey::AcceptNew => HostKeyPolicy::AcceptNew,
    };
    options
}

pub(super) fn settings(
    request: &Request,
    desired: Arc<Project>,
    reach: Reach,
    ours: Vec<HostName>,
    cluster: String,
    read_only: bool,
) -> (Settings, mpsc::Receiver<Event>) {
    let connect: Arc<dyn Connect> =
        transport::stack(reach.options, read_only, Arc::new(Counters::default()));
    let masks = desired.masks.clone();
    let extra_vars = plan_file::extra_vars(&desired);
    let (events, receiver) = mpsc::channel(EVENTS);
    let receiver = if masks.is_empty() {
        receiver
    } else {
        hiding(receiver, masks)
    };
    let (asked, cancel) = Cancel::new();
    tokio::spawn(signals(asked, events.downgrade()));
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let settings = Settings {
        desired,
        connect,
        targets: Arc::new(reach.targets),
        ours: Arc::new(ours.into_iter().collect()),
        forks: request.forks,
        run: format!("{:016x}", rand::rng().random::<u64>()),
        command: request.name().to_string(),
        cluster,
        owner: format!("{user}@{} (process {})", machine.trim(), std::process::id()),
        break_lock: request.break_lock,
        approved: None,
        extra_vars,
        patience: Patience::USUAL,
        events,
        cancel,
    };
    (settings, receiver)
}

/// Returns the events without decrypted values: here alone all that is shown or recorded comes by.
fn hiding(mut events: mpsc::Receiver<Event>, masks: Masks) -> mpsc::Receiver<Event> {
    let (shown, receiver) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if shown.send(event.hide(&masks)).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Returns whether a terminal that goes is to be ignored, as nohup(1) sets it; a handler would undo that.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let ignored = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // proc_pid_status(5): bit 0 is signal 1.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// The first Ctrl-C, a request to end, or a terminal that goes asks the run to stop at a step's boundary; the second leaves at once.
async fn signals(asked: tokio::sync::watch::Sender<bool>, events: mpsc::WeakSender<Event>) {
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut hangup = match ignores_hangup() {
        true => None,
        false => signal(SignalKind::hangup()).ok(),
    };
    let mut count = 0;
    loop {
        tokio::select! {
            result = tokio::signal::ctrl_c() => if result.is_err() { return },
            () = received(&mut terminate) => {}
            // It comes twice, from the shell and from the kernel, and is no wish to leave at once.
            () = received(&mut hangup) => if count > 0 { continue },
        }
        count += 1;
        if count == 1 {
            let _ = asked.send(true);
            // A weak sender: a signal that never comes must not keep the report open.
            if let Some(events) = events.upgrade() {
                let message = "stopping at the next step's boundary; Ctrl-C again leaves at once, and what runs on the hosts goes on".into();
                let _ = events
                    .send(Event::Warning {
                        host: None,
                        message,
                    })
                    .await;
            }
        } else {
            let journal = JOURNAL.get();
            let journal = journal.map_or_else(String::new, |path| format!("journal: {path}\n"));
            // On a line of its own: the display may be in the middle of one.
            let told = format!(
                "\r\nleft at once, and what runs on the hosts goes on: run the same command again\n{journal}"
            );
            let _ = std::io::stderr().write_all(told.as_bytes());
            #[expect(
                clippy::exit,
                reason = "the second Ctrl-C leaves at once; transient units on the hosts go on"
            )]
            std::process::exit(i32::from(ExitCode::Interrupted.code()));
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Runs `work` and reports its events until all is told.
pub(super) async fn follow<F>(
    request: &Request,
    events: mpsc::Receiver<Event>,
    settings: Settings,
    work: impl FnOnce(Settings) -> F,
) -> Result<ExitCode>
where
    F: Future<Output = ()>,
{
    tell(reporters(request), events, settings, work).await
}

async fn tell<F>(
    reporters: Reporters,
    events: mpsc::Receiver<Event>,
    settings: Settings,
    work: impl FnOnce(Settings) -> F,
) -> Result<ExitCode>
where
    F: Future<Output = ()>,
{
    let reports = reporters.follow(events);
    let work = async {
        let sender = settings.events.clone();
        work(settings).await;
        drop(sender);
    };
    let (recap, ()) = tokio::join!(reports, work);
    Ok(recap.wrap_err("cannot report")?.exit())
}

/// Returns the dispatcher of a run: the journal first, then what the user sees. A journal that cannot be created is a
/// warning.
fn reporters(request: &Request) -> Reporters {
    let inventory = request
        .inventory
        .first()
        .map_or(Utf8Path::new("inventory"), |path| path);
    let home = journal::home(inventory);
    let mut options = request.report.clone();
    match Journal::create(&home, request.name(), Timestamp::now()) {
        Ok(journal) => {
            let own = journal.path().to_owned();
            options.journal = Some(own.clone());
            let _ = JOURNAL.set(journal.path().to_owned());
            let reporter = report::reporter(&options, true);
            Reporters::new()
                .with_history(journal::Past::new(&home, Some(&own)))
                .with("journal", Box::new(journal))
                .with("output", reporter)
        }
        Err(error) => {
            let mut reporters = Reporters::new().with("output", report::reporter(&options, true));
            let message = format!("no journal is kept of this run in {home}: {error}");
            reporters.emit(Event::Warning {
                host: None,
                message,
            });
            reporters
        }
    }
}
