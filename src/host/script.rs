//! A wave's steps as one POSIX sh script with its payload, and the frame that carries any script of ours.

use super::effect::Effect;
use super::fact::Facts;
use super::probe;
use super::request::{Kind, Request, Segment};
use super::sh;

const PRELUDE: &str = include_str!("prelude.sh");
const WAVE: &str = concat!(include_str!("place.sh"), include_str!("wave.sh"));

/// What a step's success is reported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Report {
    /// Changed, if one of its effects changed something.
    #[default]
    Auto,
    /// Always changed.
    Changed,
    /// Never changed (`changed_when: false`).
    Ok,
}

/// A step as the host runs it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// Its number in the wave; records carry it.
    pub id: u32,
    /// What it does, in order; the first that fails ends it.
    pub effects: Vec<Effect>,
    /// Handlers that it notifies if it changes something: names that can stand in a path.
    pub notify: Vec<String>,
    /// Whether its standard output comes back.
    pub capture: bool,
    /// Whether the wave goes on when it fails.
    pub tolerant: bool,
    /// Whether its failure ends the steps of the wave, but not the wave: the facts at its end tell how to go on.
    pub caught: bool,
    /// How its success is reported.
    pub report: Report,
}

/// Steps that run at the end of the wave if one before has notified them, or if an earlier run left them pending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handler {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// All that one exec does on one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wave {
    /// The run: names the file that stops the wave at its next step.
    pub run: String,
    /// In order; the first that fails ends the wave, or what is left of its steps, handlers and gates.
    pub steps: Vec<Step>,
    /// In order of their definition.
    pub handlers: Vec<Handler>,
    /// Behind the handlers.
    pub gates: Vec<Step>,
    /// What is asked at the end, so that no further trip is needed.
    pub facts: Facts,
}

/// Returns the lines that come before every script of ours.
pub(super) fn header(nonce: &str) -> String {
    format!("nonce={}\n{PRELUDE}", sh::quote(nonce))
}

/// Returns `body` as a function with its call in the last line: a script that was cut off does nothing.
pub(super) fn main(body: &str) -> String {
    format!("main() {{\n{body}}}\nmain\n")
}

/// What the remote command says where something before it has read from standard input: what is left is no script of ours,
/// and must not be run.
pub const INPUT_TAKEN: &str = "quorate: not all of standard input arrived";

/// Returns the remote command that reads a script of `length` bytes from standard input and runs it; the rest of
/// standard input is the script's own.
pub(super) fn bootstrap(length: usize) -> String {
    format!(
        "exec /bin/sh -c 's=$(dd bs={length} count=1 iflag=fullblock status=none) || exit; case $s in nonce=*) eval \"$s\";; *) echo \"{INPUT_TAKEN}\" >&2; exit 96;; esac'"
    )
}

/// Returns the request that runs a wave. `nonce` marks the records of its output.
pub fn request(wave: &Wave, nonce: &str) -> Request {
    let (probe, calls) = probe::section(&wave.facts);
    let mut functions = String::new();
    let mut body = String::new();
    let mut payload = Vec::new();
    for step in &wave.steps {
        functions.push_str(&function(step));
        body.push_str(&call(step));
        payload.extend(step.effects.iter().filter_map(Effect::payload));
    }
    for handler in &wave.handlers {
        let mark = format!("\"$state/handlers/\"{}", sh::quote(&handler.name));
        let bytes: u64 = handler
            .steps
            .iter()
            .flat_map(|s| &s.effects)
            .filter_map(Effect::payload)
            .map(|p| p.length())
            .sum();
        body.push_str(&format!(
            "if [ -z \"$fallen\" ] && [ -e {mark} ]; then\nhandler_now={}\n",
            sh::quote(&handler.name)
        ));
        for step in &handler.steps {
            functions.push_str(&function(step));
            body.push_str(&call(step));
            payload.extend(step.effects.iter().filter_map(Effect::payload));
        }
        body.push_str(&format!(
            "rm -f {mark}\nelse\nreceive {bytes} >/dev/null\nfi\n"
        ));
    }
    for gate in &wave.gates {
        functions.push_str(&function(gate));
        body.push_str(&call(gate));
        payload.extend(gate.effects.iter().filter_map(Effect::payload));
    }
    if !wave.facts.is_empty() {
        body.push_str(&calls);
    }
    body.push_str("say finished\nfinish 0\n");
    let gathered = gathered(&wave.steps).join(" ");
    // Everything is inside main: a script that was cut off defines nothing but functions.
    let text = format!(
        "{}\nstop=/run/quorate-stop.{}\ngathered={}\n{probe}\n{functions}\n{}",
        header(nonce),
        sh::quote(&wave.run),
        sh::quote(&gathered),
        main(&format!("{WAVE}\n{body}"))
    );
    let mut stdin = vec![Segment::Bytes(text.clone().into_bytes().into())];
    stdin.extend(payload);
    Request::new(Kind::Wave, bootstrap(text.len()), stdin)
}

/// Returns the request that runs `call` with the functions of `definitions`, as a command that is no wave. `nonce` marks
/// what it says; the rest of its standard input is the script's own.
pub fn command(definitions: &str, call: &str, nonce: &str) -> Request {
    let text = format!("{}\n{definitions}\n{}", header(nonce), main(call));
    Request::new(
        Kind::Command,
        bootstrap(text.len()),
        vec![Segment::Bytes(text.into_bytes().into())],
    )
}

fn function(step: &Step) -> String {
    let effects: Vec<String> = step.effects.iter().map(Effect::render).collect();
    let body = if effects.is_empty() {
        ":".to_string()
    } else {
        effects.join(" &&\n")
    };
    format!("step_{}() {{\n{body}\n}}\n", step.id)
}

fn call(step: &Step) -> String {
    let capture = if step.capture { "capture" } else { "plain" };
    let mood = match (step.tolerant, step.caught) {
        (true, _) => "tolerant",
        (false, true) => "caught",
        (false, false) => "strict",
    };
    let report = match step.report {
        Report::Auto => "auto",
        Report::Changed => "changed",
        Report::Ok => "ok",
    };
    format!(
        "run_step {} {capture} {mood} {report} {}\n",
        step.id,
        sh::words(&step.notify)
    )
}

/// Returns the request that asks a running wave to stop before its next step.
pub fn stop_request(run: &str) -> Request {
    Request::new(
        Kind::Stop,
        format!("exec /bin/sh -c ': >/run/quorate-stop.{}'", sh::quote(run)),
        Vec::new(),
    )
}

/// How long a lock outlives its holder's last sign of life, in seconds.
pub const LOCK_SECONDS: u64 = 60;
/// Seconds that a run waits for a step which another run's lost connection has left behind.
const STEP_SECONDS: u64 = 2;

/// How the answer begins where only such a step is in the way.
pub const LEFT_BEHIND: &str = "a step of an earlier run is still going";

/// Returns the request that takes the host's lock and holds it while its standard input beats: one byte at least every
/// [`LOCK_SECONDS`]. Its first line is `NONCE locked`, `NONCE locked WHOSE` where another one's was broken, or `NONCE held WHO`.
/// Also with `break_lock` a step that an earlier run has left behind is not run beside. `owner` tells others who holds it.
pub fn lock_request(owner: &str, nonce: &str, break_lock: bool) -> Request {
    let owner: String = owner
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    let take = if break_lock { "true" } else { "false" };
    // The holder's process group ends with its own flock: breaking means ending the process that holds it.
    let body = format!(
        "command -v flock >/dev/null || {{ echo \"flock is not there: install util-linux\" >&2; return 1; }}\n\
         mkdir -p /run/quorate || return 1\n\
         lock=/run/quorate/lock\n\
         touch \"$lock\"\n\
         exec 9<>\"$lock\"\n\
         broken=\n\
         flock -n 9; got=$?\n\
         [ $got -le 1 ] || return $got\n\
         if [ $got -eq 1 ]; then\n\
         holder=$(sed -n 2p \"$lock.owner\" 2>/dev/null)\n\
         if {take}; then\n\
         kill \"$(sed -n 1p \"$lock.owner\" 2>/dev/null)\" 2>/dev/null\n\
         flock -w 5 9 || {{ say held \"$holder\"; return 0; }}\n\
         broken=\" ${{holder:-a run without a name}}\"\n\
         else\n\
         say held \"$holder\"; return 0\n\
         fi\n\
         fi\n\
         printf '%s\\n%s\\n' \"$$\" {0} >\"$lock.owner\"\n\
         exec 8<>/run/quorate/wave\n\
         flock -w {STEP_SECONDS} 8 || {{ say held \"{LEFT_BEHIND}${{broken:+ (the lock of$broken was broken)}}, begun by $(cat /run/quorate/wave.owner 2>/dev/null)\"; rm -f \"$lock.owner\"; return 0; }}\n\
         exec 8<&-\n\
         printf '%s\\n' {0} >/run/quorate/wave.owner\n\
         rm -f /run/quorate-stop.*\n\
         say \"locked$broken\"\n\
         while [ \"$(timeout {LOCK_SECONDS} dd bs=1 count=1 status=none 9<&- | wc -c)\" -eq 1 ]; do :; done\n\
         rm -f \"$lock.owner\"\n",
        sh::quote(&owner)
    );
    let text = format!("{}\n{}", header(nonce), main(&body));
    Request::new(
        Kind::Lock,
        bootstrap(text.len()),
        vec![Segment::Bytes(text.into_bytes().into())],
    )
}

/// Returns the packages of all steps that one call of the package manager may install together: up to the first effect
/// that could change where packages come from.
fn gathered(steps: &[Step]) -> Vec<&str> {
    const SOURCES: [&str; 5] = ["/etc/apt", "/etc/yum", "/etc/dnf", "/etc/zypp", "/etc/pki"];
    let mut names = Vec::new();
    for effect in steps.iter().flat_map(|step| &step.effects) {
        let path = match effect {
            Effect::InstallPackages(more) => {
                names.extend(more.iter().map(String::as_str));
                continue;
            }
            Effect::Run(_) | Effect::Unpack { .. } | Effect::RemovePackages(_) => break,
            Effect::WriteFile(file) => &file.path,
            Effect::Fetch(fetch) => &fetch.path,
            Effect::Directory { path, .. }
            | Effect::Attributes { path, .. }
            | Effect::Link { path, .. }
            | Effect::Remove { path } => path,
            _ => continue,
        };
        if SOURCES.iter().any(|source| path.starts_with(source)) {
            break;
        }
    }
    names
}
