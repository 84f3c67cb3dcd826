//! `blockinfile`: a block of lines between two markers.

use super::target::{Attributes, Edited};
use super::{Action, Look, Module, Questions, Verdict};
use crate::event::Category;
use crate::role::args::Args;

pub(super) const MODULE: Module = Module {
    name: "blockinfile",
    aliases: &[],
    arguments: &[
        "path", "block", "marker", "state", "create", "mode", "owner", "group", "backup",
    ],
    bare: None,
    category: Category::Own,
    read,
};

/// Ansible's own marker, so that blocks it wrote are recognised.
const MARKER: &str = "# {mark} ANSIBLE MANAGED BLOCK";

#[derive(Debug)]
struct Block {
    file: Edited,
    block: String,
    begin: String,
    end: String,
}

fn read(args: &mut Args<'_>) -> Option<Box<dyn Action>> {
    let path = args.file_path("path");
    let block = args.text("block").unwrap_or_default();
    let marker = args.text("marker").unwrap_or_else(|| MARKER.into());
    let state = args.choice("state", &["present", "absent"]);
    let create = args.flag("create").unwrap_or(false);
    let attributes = Attributes::read(args);
    let backup = args.flag("backup").unwrap_or(false);
    if !marker.contains("{mark}") || marker.contains('\n') {
        let help = "one line with `{mark}` in it, which stands for BEGIN and END";
        args.complain(
            "marker",
            format!("`{}` is no marker", marker.escape_debug()),
            help.to_string(),
        );
        return None;
    }
    let (begin, end) = (
        marker.replace("{mark}", "BEGIN"),
        marker.replace("{mark}", "END"),
    );
    if block.lines().any(|l| l == begin || l == end) {
        args.complain("block", "the block holds its own marker", None);
        return None;
    }
    // As in Ansible, an empty block is one that is not to be there.
    let present = state? == "present" && !block.is_empty();
    Some(Box::new(Block {
        file: Edited {
            path: path?,
            present,
            create,
            attributes,
            validate: None,
            backup,
        },
        block,
        begin,
        end,
    }))
}

impl Block {
    /// Returns the file's text with the block in place of an old one, else at its end.
    fn edit(&self, before: &str) -> String {
        let lines: Vec<&str> = before.lines().collect();
        let begin = lines.iter().position(|l| l.trim_end() == self.begin);
        let end = begin.and_then(|b| {
            lines[b..]
                .iter()
                .position(|l| l.trim_end() == self.end)
                .map(|e| b + e)
        });
        let mut block: Vec<&str> = Vec::new();
        if self.file.present {
            block.push(&self.begin);
            block.extend(self.block.lines());
            block.push(&self.end);
        }
        let (head, tail) = match (begin, end) {
            (Some(begin), Some(end)) => (&lines[..begin], &lines[end + 1..]),
            _ if !self.file.present => return before.to_string(),
            _ => (&lines[..], &[][..]),
        };
        let all: Vec<&str> = head.iter().chain(&block).chain(tail).copied().collect();
        if all.is_empty() {
            String::new()
        } else {
            all.join("\n") + "\n"
        }
    }
}

impl Action for Block {
    fn facts(&self, questions: &mut Questions) {
        self.file.facts(questions);
    }

    fn words(&self) -> Vec<&str> {
        self.file.words()
    }

    fn plan(&self, look: &Look<'_>) -> Verdict {
        self.file
            .plan(look, |before| self.edit(before), "has the block")
    }
}
