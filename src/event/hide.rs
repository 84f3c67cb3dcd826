//! Events without decrypted values.

use super::{Event, PlannedChange};
use crate::model::Masks;

impl Event {
    /// Returns the event with `***` in the place of decrypted values: a step's title is a template, and a host may print
    /// anything. Names of hosts stay, and what comes from a closed list.
    #[must_use]
    pub fn hide(mut self, masks: &Masks) -> Self {
        let text = |text: &mut String| *text = masks.hide(text);
        let help = |help: &mut Option<String>| {
            if let Some(help) = help {
                text(help);
            }
        };
        match &mut self {
            Self::RunStarted {
                run: _,
                command: _,
                cluster,
                user: _,
                version: _,
                hosts: _,
            } => text(cluster),
            Self::Planned { title, changes, .. } => {
                text(title);
                for PlannedChange {
                    what,
                    why,
                    diff,
                    guard,
                    kind: _,
                    digest: _,
                } in changes
                {
                    text(what);
                    text(why);
                    help(diff);
                    help(guard);
                }
            }
            Self::AsWritten { hosts: _, titles } => titles.iter_mut().for_each(text),
            Self::StepStarted { title, .. } => text(title),
            Self::StepFinished {
                title,
                detail,
                help: then,
                ..
            } => {
                text(title);
                // As one text: base64 may go on over the ends of its lines.
                if !detail.is_empty() {
                    let shown = masks.hide(&detail.join("\n"));
                    *detail = shown.split('\n').map(str::to_owned).collect();
                }
                help(then);
            }
            Self::Progress { text: line, .. } => text(line),
            Self::HostTrouble {
                message,
                help: then,
                ..
            }
            | Self::Refused {
                message,
                help: then,
                ..
            }
            | Self::ClusterFailed {
                message,
                help: then,
            } => {
                text(message);
                help(then);
            }
            Self::Warning { message, .. } => text(message),
            Self::Cluster { summary, .. } => text(summary),
            Self::DrillPlanned { plan } => {
                text(&mut plan.by);
                text(&mut plan.endpoint);
            }
            Self::Output { line, .. } => text(line),
            // Named one by one, so that a new event is thought of.
            Self::ActStarted { .. }
            | Self::Connected { .. }
            | Self::ExecStarted { .. }
            | Self::Unsent { .. }
            | Self::Probed { .. }
            | Self::Unchanged { .. }
            | Self::HostSeen { .. }
            | Self::DrillStarted { .. }
            | Self::DrillProbes { .. }
            | Self::DrillMark { .. }
            | Self::DrillFinished { .. }
            | Self::Interrupted { .. }
            | Self::HostFinished { .. }
            | Self::RunFinished { .. } => {}
        }
        self
    }
}
