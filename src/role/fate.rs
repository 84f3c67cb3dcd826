//! Which tasks of blocks are reached, by what has failed so far. The rules are Ansible's ("Blocks" in its documentation).

use std::collections::BTreeMap;

use super::task::{Around, Part};

/// How a block stands that something in it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// In its body, and its `rescue` is what follows.
    Rescued,
    /// Where nothing rescues it: its `always` is what is left of it.
    Failed,
    /// In its `always`: nothing is left of it.
    Over,
}

/// The blocks of a role, passed through in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Fates {
    /// Blocks in which something failed.
    blocks: BTreeMap<usize, Fate>,
    /// The blocks around the task before.
    around: Vec<Around>,
    /// What failed last.
    title: String,
    /// Whether that was outside of everything that catches it.
    lost: bool,
}

impl Fates {
    /// Goes on to a task with these blocks around it: a block that is left and has failed fails the one around it.
    pub(super) fn leave(&mut self, next: &[Around]) {
        let before = std::mem::replace(&mut self.around, next.to_vec());
        for (depth, block) in before.iter().enumerate().rev() {
            let stays = next.iter().any(|a| a.block == block.block);
            let fate = self.blocks.get(&block.block);
            if !stays && matches!(fate, Some(Fate::Failed | Fate::Over)) {
                let title = self.title.clone();
                self.fail(&before[..depth], &title);
            }
        }
        if next.is_empty() {
            // The numbers of the next role's blocks begin anew.
            self.blocks.clear();
        }
    }

    /// Takes down that a task with these blocks around it failed.
    pub(super) fn fail(&mut self, around: &[Around], title: &str) {
        self.title = title.to_string();
        let Some(block) = around.last() else {
            self.lost = true;
            return;
        };
        let fate = match block.part {
            Part::Body if block.rescues => Fate::Rescued,
            Part::Body | Part::Rescue => Fate::Failed,
            Part::Always => Fate::Over,
        };
        self.blocks.insert(block.block, fate);
    }

    /// Returns whether a task with these blocks around it is reached.
    pub(super) fn reach(&self, around: &[Around]) -> bool {
        let reached = |a: &Around| match (a.part, self.blocks.get(&a.block)) {
            (Part::Body, fate) => fate.is_none(),
            (Part::Rescue, fate) => fate == Some(&Fate::Rescued),
            (Part::Always, fate) => fate != Some(&Fate::Over),
        };
        !self.lost && around.iter().all(reached)
    }

    /// Returns the title of the step that failed outside of everything that catches it.
    pub(super) fn lost(&self) -> Option<&str> {
        self.lost.then_some(self.title.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::super::task::{Around, Part};
    use super::Fates;

    /// Returns the blocks that a word like `1b2r` names: number and part.
    fn around(word: &str, rescues: &[usize]) -> Vec<Around> {
        let bytes: Vec<char> = word.chars().collect();
        bytes
            .chunks(2)
            .map(|pair| {
                let block = pair[0].to_digit(10).unwrap() as usize;
                let part = match pair[1] {
                    'b' => Part::Body,
                    'r' => Part::Rescue,
                    _ => Part::Always,
                };
                Around {
                    block,
                    part,
                    rescues: rescues.contains(&block),
                    has_always: true,
                }
            })
            .collect()
    }

    /// Tasks, those that fail by index, blocks with a rescue, those reached, whether the host is lost.
    type Case<'a> = (&'a str, &'a [usize], &'a [usize], &'a [usize], bool);

    #[test]
    fn what_is_reached() {
        let cases: &[Case<'_>] = &[
            ("1b 1b 1r 1a -", &[], &[1], &[0, 1, 3, 4], false),
            ("1b 1b 1r 1a -", &[0], &[1], &[0, 2, 3, 4], false),
            ("1b 1b 1r 1a -", &[0, 2], &[1], &[0, 2, 3], true),
            ("1b 1b 1a 1a -", &[0], &[], &[0, 2, 3], true),
            ("1b 1b 1a 1a -", &[0, 2], &[], &[0, 2], true),
            ("1b 1a 1a -", &[1], &[], &[0, 1], true),
            ("- -", &[0], &[], &[0], true),
            // The inner block fails the outer one when its always is done.
            ("1b2b 1b2a 1b 1r -", &[0], &[1], &[0, 1, 3, 4], false),
            ("1b2b 1b2r 1b 1r -", &[0], &[1, 2], &[0, 1, 2, 4], false),
            ("1b2b 1b2r 1b 1r -", &[0, 1], &[1, 2], &[0, 1, 3, 4], false),
            // The last of a role.
            ("1b2b", &[0], &[], &[0], true),
            ("1b2b 1r", &[0], &[1], &[0, 1], false),
            // A rescue with a block of its own.
            (
                "1b 1r2b 1r2b 1r2r 1a -",
                &[0, 1],
                &[1, 2],
                &[0, 1, 3, 4, 5],
                false,
            ),
            ("1b 2b 2r", &[1], &[2], &[0, 1, 2], false),
        ];
        for (tasks, fails, rescues, reached, lost) in cases {
            let mut fates = Fates::default();
            let mut seen = Vec::new();
            for (i, word) in tasks.split(' ').enumerate() {
                let around = around(word.trim_matches('-'), rescues);
                fates.leave(&around);
                if fates.reach(&around) {
                    seen.push(i);
                    if fails.contains(&i) {
                        fates.fail(&around, "t");
                    }
                }
            }
            fates.leave(&[]);
            assert_eq!(
                (seen.as_slice(), fates.lost().is_some()),
                (*reached, *lost),
                "{tasks} {fails:?}"
            );
        }
    }
}
