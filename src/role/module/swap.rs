//! `swap`: no swap now, and none after the next boot.

use super::target::Target;
use super::{Action, LATER, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::host::{Content, Effect, Fact, Known};
use crate::plan::Change;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "swap",
    aliases: &[],
    arguments: &["state"],
    bare: Some("state"),
    category: Category::Own,
    read,
};

const FSTAB: &str = "/etc/fstab";

#[derive(Debug)]
struct NoSwap;

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    if !args.has("state") {
        args.missing("state");
    }
    args.choice("state", &["absent"])?;
    Some(Box::new(NoSwap))
}

/// Returns fstab(5) with its swap lines commented out: the third field is the type.
fn without_swap(before: &str) -> String {
    before
        .split_inclusive('\n')
        .map(|line| {
            let swap = !line.trim_start().starts_with('#') && line.split_whitespace().nth(2) == Some("swap");
            if swap { format!("# {line}") } else { line.to_string() }
        })
        .collect()
}

impl Action for NoSwap {
    fn facts(&self, questions: &mut Questions) {
        questions.facts.extend([Fact::Swap, Fact::File(FSTAB.into()), Fact::Content(FSTAB.into())]);
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        let Some((seen, before)) = look.text(FSTAB) else {
            return Verdict::Unseen(FSTAB.into());
        };
        let mut changes = Vec::new();
        match &look.swaps {
            Some(swaps) if swaps.is_empty() => {}
            Some(swaps) => changes.push(Change::new(Effect::SwapOff, format!("in use: {}", swaps.join(", ")))),
            None => changes.push(Change::new(Effect::SwapOff, LATER)),
        }
        let after = without_swap(&before);
        if after != before && seen.file(FSTAB) != Known::Is(None) {
            changes.extend(Target::new(FSTAB, Content::inline(after)).change(seen));
        }
        Verdict::of(changes, "there is no swap")
    }
}
