//! Which records a wave's host may send, and when. Our scripts keep to it; whoever does not is no host of ours.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::host::record::{End, WaveRecord};
use crate::host::script::Wave;
use crate::plan::Step;

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

/// Where a wave is: each step begins once, in order, and ends before the next one begins. None is left out but those of a
/// handler that nobody has notified, those behind one that failed, and those behind the word that the wave has stopped.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// What the steps are called, by their numbers.
    titles: Vec<&'a str>,
    /// The numbers of each handler's steps.
    handlers: Vec<Range<usize>>,
    /// The first step that may still begin.
    next: usize,
    under_way: Option<u32>,
    told: Option<Instant>,
    failed: bool,
    over: bool,
}

impl<'a> Order<'a> {
    /// Returns the order of a wave whose steps have these titles.
    pub(super) fn of(wave: &Wave, titles: &'a [Step]) -> Self {
        let handlers = wave.handlers.iter().filter_map(|handler| {
            let (first, last) = (handler.steps.first()?, handler.steps.last()?);
            Some(first.id as usize..last.id as usize + 1)
        });
        let names = titles.iter().map(|step| step.title.as_str());
        Self::new(names.collect(), handlers.collect())
    }

    fn new(titles: Vec<&'a str>, handlers: Vec<Range<usize>>) -> Self {
        Self {
            titles,
            handlers,
            next: 0,
            under_way: None,
            told: None,
            failed: false,
            over: false,
        }
    }

    /// Returns the first step that was left out before step `to`, and may not be: a handler is told of whole, or not at all.
    fn left_out(&self, to: usize) -> Option<&'a str> {
        let is_whole = |handler: &Range<usize>| handler.start >= self.next && handler.end <= to;
        let may_be = |step: usize| {
            let mut handlers = self.handlers.iter();
            handlers.any(|handler| handler.contains(&step) && is_whole(handler))
        };
        let step = (self.next..to).find(|step| !may_be(*step))?;
        self.titles.get(step).copied()
    }

    /// Returns what to make of the next record, or why it cannot be one of this wave.
    pub(super) fn take(&mut self, record: &WaveRecord) -> Result<Heed, String> {
        if self.over {
            return Err("it goes on behind its last word".into());
        }
        match record {
            WaveRecord::Start { id } => {
                let at = *id as usize;
                let steps = self.titles.len();
                if at >= steps {
                    return Err(format!("it begins step {id}, and there are {steps}"));
                }
                if let Some(other) = self.under_way {
                    return Err(format!("it begins step {id} in the middle of step {other}"));
                }
                if at < self.next {
                    return Err(format!("it begins step {id} again"));
                }
                if self.failed {
                    return Err(format!("it begins step {id} behind one that failed"));
                }
                if let Some(other) = self.left_out(at) {
                    return Err(format!(
                        "it begins step {id}, and told nothing of `{other}`"
                    ));
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
            WaveRecord::End { id, end, .. } => {
                if self.under_way.take() != Some(*id) {
                    return Err(format!("it ends step {id}, which has not begun"));
                }
                self.told = None;
                self.failed = *end == End::Failed;
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
                let left_out = self.left_out(self.titles.len());
                if let Some(step) = left_out.filter(|_| !self.failed) {
                    return Err(format!("it is done, and told nothing of `{step}`"));
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
        // The second and the third are one handler's.
        let mut order = Order::new(vec!["a", "b", "c", "d"], std::iter::once(1..3).collect());
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
            "start 3",
            "progress 3 c",
            "done 3 ok 1",
            "system user 0",
            "finished",
        ];
        let expected = [Step, Word, Nothing, Step, Step, Word, Step, Word, Word];
        assert_eq!(heard(&lines), expected.map(Ok));
        let lines = [
            "start 0",
            "done 0 changed 0",
            "start 1",
            "done 1 ok 0",
            "start 2",
            "done 2 ok 0",
            "start 3",
            "done 3 ok 0",
            "finished",
        ];
        assert_eq!(
            heard(&lines),
            [[Step; 8].as_slice(), &[Word]]
                .concat()
                .into_iter()
                .map(Ok)
                .collect::<Vec<_>>()
        );
        // Nothing is done behind a failure that is caught, nor behind a stop.
        assert_eq!(
            heard(&["start 0", "done 0 failed 1", "system user 0", "finished"]),
            [Ok(Step), Ok(Step), Ok(Word), Ok(Word)]
        );
        assert_eq!(heard(&["start 0", "stopped 0"]), [Ok(Step), Ok(Word)]);
        assert_eq!(heard(&["stopped 0"]), [Ok(Word)]);
    }

    #[test]
    fn what_only_others_say() {
        for (lines, why) in [
            (vec!["start 4"], "it begins step 4, and there are 4"),
            (
                vec!["start 4294967295"],
                "it begins step 4294967295, and there are 4",
            ),
            (vec!["finished"], "it is done, and told nothing of `a`"),
            (vec!["start 1"], "it begins step 1, and told nothing of `a`"),
            (
                vec!["start 0", "done 0 changed 0", "finished"],
                "it is done, and told nothing of `d`",
            ),
            // Half a handler.
            (
                vec!["start 0", "done 0 ok 0", "start 2"],
                "it begins step 2, and told nothing of `b`",
            ),
            (
                vec![
                    "start 0",
                    "done 0 ok 0",
                    "start 1",
                    "done 1 ok 0",
                    "start 3",
                ],
                "it begins step 3, and told nothing of `c`",
            ),
            (
                vec!["start 0", "done 0 failed 1", "start 3"],
                "it begins step 3 behind one that failed",
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
                vec!["start 0", "done 0 ok 0", "start 0"],
                "it begins step 0 again",
            ),
            (
                vec!["start 0", "system user 0"],
                "it answers in the middle of step 0",
            ),
            (
                vec!["start 0", "finished"],
                "it is done in the middle of step 0",
            ),
            (
                vec!["start 0", "done 0 failed 1", "finished", "finished"],
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
