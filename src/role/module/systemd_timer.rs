//! `systemd_timer`: a command at set times, in the place of cron.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known, UnitAct, UnitState};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "systemd_timer",
    aliases: &[],
    arguments: &[
        "name",
        "command",
        "on_calendar",
        "description",
        "user",
        "persistent",
        "state",
    ],
    bare: None,
    category: Category::Own,
    read,
};

#[derive(Debug)]
struct Timer {
    name: String,
    /// Service and timer; none where they are not to be.
    files: Option<[Target; 2]>,
    /// What stands in them, before it is escaped.
    texts: Vec<String>,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let name = args.name("name")?;
    if name.contains(['*', '=', '~', '+', ':', '\\']) || name.ends_with(".timer") {
        let help = "without `.timer`, which is added".to_string();
        args.complain("name", format!("`{name}` is no name of a timer"), help);
        return None;
    }
    if args.choice("state", &["present", "absent"])? == "absent" {
        return Some(Box::new(Timer {
            name,
            files: None,
            texts: Vec::new(),
        }));
    }
    let (command, calendar) = (args.required("command"), args.required("on_calendar"));
    let description = args.text("description").unwrap_or_else(|| name.clone());
    let persistent = args.flag("persistent").unwrap_or(true);
    let user = match args.has("user") {
        true => Some(args.account("user")?),
        false => None,
    };
    let (command, calendar) = (command?, calendar?);
    for (key, text) in [
        ("command", &command),
        ("on_calendar", &calendar),
        ("description", &description),
    ] {
        if text.contains(char::is_control) {
            args.complain(key, format!("`{key}` of `systemd_timer` is one line"), None);
            return None;
        }
    }
    let user = user.map(|u| format!("User={u}\n")).unwrap_or_default();
    let texts = vec![command.clone(), calendar.clone(), description.clone()];
    let description = description.replace('%', "%%");
    let service = format!(
        "[Unit]\nDescription={description}\n\n[Service]\nType=oneshot\n{user}ExecStart=/bin/sh -c \"{}\"\n",
        escaped(&command)
    );
    let timer = format!(
        "[Unit]\nDescription={description}\n\n[Timer]\nOnCalendar={}\nPersistent={persistent}\n\n[Install]\nWantedBy=timers.target\n",
        calendar.replace('%', "%%")
    );
    let files = [("service", service), ("timer", timer)];
    let files = files.map(|(end, text)| Target::new(file(&name, end), Content::inline(text)));
    Some(Box::new(Timer {
        name,
        files: Some(files),
        texts,
    }))
}

fn file(name: &str, end: &str) -> String {
    format!("/etc/systemd/system/{name}.{end}")
}

/// Returns a text as it stands between double quotes of `ExecStart=` (systemd.service(5), "Command lines"; systemd.syntax(7)).
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('%', "%%").replace('$', "$$")
}

impl Timer {
    fn unit(&self) -> String {
        format!("{}.timer", self.name)
    }

    fn absent(&self, look: &Look<'_>) -> Verdict {
        let mut changes = Vec::new();
        let unit = look.unit(&self.unit());
        let stop = [
            (UnitAct::Stopped, unit.is(|u| !u.is_starting_or_active())),
            (
                UnitAct::Disabled,
                unit.is(|u| !matches!(u.file.as_str(), "enabled" | "enabled-runtime")),
            ),
        ];
        for (act, is_so) in stop {
            if !is_so {
                let why = if unit == Known::Unknown {
                    LATER
                } else {
                    "is there"
                };
                changes.push(Change::new(Effect::Unit(act, self.unit()), why));
            }
        }
        for path in ["timer", "service"].map(|end| file(&self.name, end)) {
            let why = match look.file(&path) {
                Known::Is(None) => continue,
                Known::Is(Some(_)) => "is there",
                Known::Unknown => LATER,
            };
            changes.push(Change::new(Effect::Remove { path }, why));
        }
        if changes
            .iter()
            .any(|c| matches!(c.effect, Effect::Remove { .. }))
        {
            changes.push(Change::new(Effect::DaemonReload, "its files go"));
        }
        Verdict::of(changes, format!("{} is absent", self.unit()))
    }
}

impl Action for Timer {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.insert(Fact::Unit(self.unit()));
        match &self.files {
            Some(files) => files.iter().for_each(|f| f.facts(questions)),
            None => {
                let files = ["timer", "service"].map(|end| Fact::File(file(&self.name, end)));
                questions.facts.extend(files);
            }
        }
    }

    fn words(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let Some([service, timer]) = &self.files else {
            return self.absent(look);
        };
        let mut changes: Vec<Change> = service.change(look).into_iter().collect();
        let before = changes.len();
        changes.extend(timer.change(look));
        let is_new = changes.len() > before;
        let unit = look.unit(&self.unit());
        if !changes.is_empty() || unit.is(|u| u.needs_reload) {
            changes.push(Change::new(Effect::DaemonReload, "its files change"));
        }
        let differs = |good: fn(&UnitState) -> bool, why: &'static str| match unit {
            Known::Unknown => Some(LATER),
            Known::Is(unit) => (!good(unit)).then_some(why),
        };
        let mut act = |act: UnitAct, why: Option<&str>| {
            let effect = why.map(|why| Change::new(Effect::Unit(act, self.unit()), why));
            changes.extend(effect);
        };
        act(
            UnitAct::Enabled,
            differs(UnitState::is_enabled, "is not enabled"),
        );
        match differs(UnitState::is_active, "does not run") {
            None if is_new => act(UnitAct::Restarted, Some("its times change")),
            why => act(UnitAct::Started, why),
        }
        Verdict::of(changes, format!("{} is as written", self.unit()))
    }
}
