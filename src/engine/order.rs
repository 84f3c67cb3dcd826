//! Which records a wave's host may send, and when. Our scripts keep to it; whoever does not is no host of ours.

use std::time::{Duration, Instant};

use crate::host::record::WaveRecord;

/// How often a step may say how far it is; our scripts do so once a second at most. What comes sooner is passed over.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What to make of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heed {
    /// A step's start or end: there are as many of them as steps, and no more.
    Step,
    /// Another word that counts.
    Word,
    /// It is passed over.
    Nothing,
}

/// Where a wave is: each step begins once, in order, and ends before the next one begins.
#[derive(Debug)]
pub(super) struct Order {
    steps: usize,
    /// The first step that may still begin.
    next: usize,
    under_way: Option<u32>,
    told: Option<Instant>,
    over: bool,
}

impl Order {
    /// Returns the order of a wave with so many steps.
    pub(super) fn new(steps: usize) -> Self {
        Self {
            steps,
            next: 0,
            under_way: None,
            told: None,
            over: false,
        }
    }

    /// Returns what to make of the next record, or why it cannot be one of this wave.
    pub(super) fn take(&mut self, record: &WaveRecord) -> Result<Heed, String> {
        if self.over {
            return Err("it goes on behind its last word".into());
        }
        match record {
            WaveRecord::Start { id } => {
                let at = *id as usize;
                if at >= self.steps {
                    return Err(format!("it begins step {id}, and there are {}", self.steps));
                }
                if let Some(other) = self.under_way {
                    return Err(format!("it begins step {id} in the middle of step {other}"));
                }
                if at < self.next {
                    return Err(format!("it begins step {id} again"));
                }
                self.next = at + 1;
                self.under_way = Some(*id);
                Ok(Heed::Step)
            }
            WaveRecord::Progress { id, .. } => {
                if self.under_way != Some(*id) {
                    return Err(format!("it tells of step {id}, which has not begun"));
                }
                let now = Instant::now();
                if self.told.is_some_and(|at| now - at < PROGRESS_EVERY) {
                    return Ok(Heed::Nothing);
                }
                self.told = Some(now);
                Ok(Heed::Word)
            }
            WaveRecord::End { id, .. } => {
                if self.under_way.take() != Some(*id) {
                    return Err(format!("it ends step {id}, which has not begun"));
                }
                self.told = None;
                Ok(Heed::Step)
            }
            // Also in the middle of a step that waits.
            WaveRecord::Stopped { .. } => {
                self.over = true;
                Ok(Heed::Word)
            }
            WaveRecord::Finished => {
                if let Some(id) = self.under_way {
                    return Err(format!("it is done in the middle of step {id}"));
                }
                self.over = true;
                Ok(Heed::Word)
            }
            WaveRecord::Fact(_) => match self.under_way {
                Some(id) => Err(format!("it answers in the middle of step {id}")),
                None => Ok(Heed::Word),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::record::wave_record;

    /// Returns what is made of each line, up to the first that cannot be.
    fn heard(lines: &[&str]) -> Vec<Result<Heed, String>> {
        let mut order = Order::new(3);
        let mut heard = Vec::new();
        for line in lines {
            heard.push(order.take(&wave_record(line).unwrap()));
            if heard.last().unwrap().is_err() {
                break;
            }
        }
        heard
    }

    #[test]
    fn what_our_scripts_say() {
        use Heed::{Nothing, Step, Word};
        // Handlers whose mark is not set are passed over.
        let lines = [
            "start 0",
            "progress 0 a",
            "progress 0 b",
            "done 0 ok 0",
            "start 2",
            "progress 2 c",
            "done 2 failed 1",
            "system user 0",
            "finished",
        ];
        let expected = [Step, Word, Nothing, Step, Step, Word, Step, Word, Word];
        assert_eq!(heard(&lines), expected.map(Ok));
        assert_eq!(heard(&["start 1", "stopped 1"]), [Ok(Step), Ok(Word)]);
        assert_eq!(heard(&["stopped 0"]), [Ok(Word)]);
    }

    #[test]
    fn what_only_others_say() {
        for (lines, why) in [
            (vec!["start 3"], "it begins step 3, and there are 3"),
            (
                vec!["start 4294967295"],
                "it begins step 4294967295, and there are 3",
            ),
            (vec!["done 0 ok 0"], "it ends step 0, which has not begun"),
            (
                vec!["progress 0 x"],
                "it tells of step 0, which has not begun",
            ),
            (
                vec!["start 0", "start 1"],
                "it begins step 1 in the middle of step 0",
            ),
            (
                vec!["start 0", "done 1 ok 0"],
                "it ends step 1, which has not begun",
            ),
            (
                vec!["start 0", "done 0 ok 0", "done 0 ok 0"],
                "it ends step 0, which has not begun",
            ),
            (
                vec!["start 1", "done 1 ok 0", "start 0"],
                "it begins step 0 again",
            ),
            (
                vec!["start 1", "system user 0"],
                "it answers in the middle of step 1",
            ),
            (
                vec!["start 1", "finished"],
                "it is done in the middle of step 1",
            ),
            (
                vec!["finished", "finished"],
                "it goes on behind its last word",
            ),
            (
                vec!["stopped 0", "start 0"],
                "it goes on behind its last word",
            ),
        ] {
            let heard = heard(&lines);
            assert_eq!(heard.len(), lines.len());
            assert_eq!(heard.last().unwrap(), &Err(why.to_string()), "{lines:?}");
        }
    }
}
