//! `service`: systemd units.

use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Effect, Fact, Known, UnitAct, UnitState};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "service",
    aliases: &["systemd", "systemd_service"],
    arguments: &["name", "state", "enabled", "masked", "daemon_reload"],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Service {
    name: Option<String>,
    state: Option<UnitAct>,
    enabled: Option<bool>,
    masked: Option<bool>,
    daemon_reload: bool,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let daemon_reload = args.flag("daemon_reload").unwrap_or(false);
    let alone = daemon_reload && !args.has("name");
    let name = if alone {
        None
    } else {
        Some(args.name("name")?)
    };
    // systemd.unit(5); a pattern would stand for several units, of which each answers.
    if let Some(bad) = name.as_ref().filter(|n| n.contains(['*', '=', '~', '+'])) {
        let message = format!("`{bad}` is no name of a unit");
        args.complain("name", message, None);
    }
    let state = match args.choice(
        "state",
        &["", "started", "stopped", "restarted", "reloaded"],
    )? {
        "started" => Some(UnitAct::Started),
        "stopped" => Some(UnitAct::Stopped),
        "restarted" => Some(UnitAct::Restarted),
        "reloaded" => Some(UnitAct::Reloaded),
        _ => None,
    };
    let (enabled, masked) = (args.flag("enabled"), args.flag("masked"));
    if name.is_none() && (state.is_some() || enabled.is_some() || masked.is_some()) {
        args.missing("name");
    }
    if name.is_some() && state.is_none() && enabled.is_none() && masked.is_none() && !daemon_reload
    {
        args.complain(
            "name",
            "`service` needs `state`, `enabled` or `masked`: nothing is asked for",
            None,
        );
    }
    Some(Box::new(Service {
        name,
        state,
        enabled,
        masked,
        daemon_reload,
    }))
}

impl Action for Service {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend(self.name.clone().map(Fact::Unit));
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let Some(name) = &self.name else {
            return Verdict::Always(vec![Change::new(Effect::DaemonReload, "asked for")]);
        };
        let known = match look.unit(name) {
            Known::Is(unit) => Some(unit),
            Known::Unknown => None,
        };
        let mut changes = Vec::new();
        let differs = |want: bool,
                       is: &dyn Fn(&UnitState) -> bool,
                       why: &dyn Fn(&UnitState) -> String| match known {
            None => Some(LATER.to_string()),
            Some(unit) => (is(unit) != want).then(|| why(unit)),
        };
        if self.daemon_reload && known.is_none_or(|u| u.needs_reload) {
            let why = if known.is_none() {
                LATER
            } else {
                "its file changed"
            };
            changes.push(Change::new(Effect::DaemonReload, why));
        }
        let mut act = |act: UnitAct, why: String| {
            changes.push(Change::new(Effect::Unit(act, name.clone()), why))
        };
        let is_masked = |u: &UnitState| u.file == "masked" || u.load == "masked";
        if let Some(why) = self
            .masked
            .filter(|m| !m)
            .and_then(|m| differs(m, &is_masked, &|_| "is masked".into()))
        {
            act(UnitAct::Unmasked, why);
        }
        let file = |u: &UnitState| {
            format!(
                "is {}",
                if u.file.is_empty() {
                    "not there yet"
                } else {
                    &u.file
                }
            )
        };
        if let Some(why) = self
            .enabled
            .and_then(|e| differs(e, &enabled(self.enabled), &file))
        {
            act(
                if self.enabled == Some(true) {
                    UnitAct::Enabled
                } else {
                    UnitAct::Disabled
                },
                why,
            );
        }
        let active = |u: &UnitState| {
            format!(
                "is {}",
                if u.active.is_empty() {
                    "not there yet"
                } else {
                    &u.active
                }
            )
        };
        let mut always = false;
        match self.state {
            Some(UnitAct::Started) => {
                // One that is starting is no drift, as with Ansible (module systemd: is_running_service).
                if let Some(why) = differs(true, &UnitState::is_starting_or_active, &active) {
                    act(UnitAct::Started, why);
                }
            }
            Some(UnitAct::Stopped) => {
                let runs = |u: &UnitState| {
                    u.is_active() || matches!(u.active.as_str(), "activating" | "deactivating")
                };
                if let Some(why) = differs(false, &runs, &active) {
                    act(UnitAct::Stopped, why);
                }
            }
            Some(other) => {
                always = true;
                act(other, "asked for".into());
            }
            None => {}
        }
        if let Some(why) = self
            .masked
            .filter(|m| *m)
            .and_then(|m| differs(m, &is_masked, &file))
        {
            act(UnitAct::Masked, why);
        }
        if always {
            Verdict::Always(changes)
        } else {
            Verdict::of(changes, format!("{name} is as written"))
        }
    }
}

/// Returns the test for being enabled. A unit that cannot be enabled counts as enabled where that is asked for, and as
/// disabled where that is.
fn enabled(wanted: Option<bool>) -> impl Fn(&UnitState) -> bool {
    move |unit| match wanted {
        Some(false) => matches!(unit.file.as_str(), "enabled" | "enabled-runtime"),
        _ => unit.is_enabled(),
    }
}
