//! How a play goes over its hosts, by its `serial` and `max_fail_percentage`.

use crate::plan::{Batch, Pace};

/// How many hosts at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Amount {
    /// So many.
    Hosts(usize),
    /// So many of a hundred of the play's hosts.
    Percent(usize),
}

/// What `serial` says: one amount, or a list of batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Serial {
    pub(super) amounts: Vec<Amount>,
    /// Whether it is a list: a batch waits for the whole one before it.
    pub(super) in_step: bool,
}

/// Returns how a play goes over its hosts, of which there are so many; `None` where it goes over all at once, whatever becomes of
/// them.
pub(super) fn pace(
    play: &str,
    serial: Option<&Serial>,
    max_fail: Option<usize>,
    hosts: usize,
) -> Option<Pace> {
    if serial.is_none() && max_fail.is_none() {
        return None;
    }
    let all = [Amount::Percent(100)];
    let amounts = serial.map_or(&all[..], |serial| &serial.amounts);
    let batch = |amount: &Amount| {
        let at_once = match amount {
            Amount::Hosts(n) => *n,
            // As in Ansible, rounded down, and one at least.
            Amount::Percent(n) => (hosts * n / 100).max(1),
        };
        // As in Ansible: without a percentage a play ends when a whole batch has failed.
        let may_fail = max_fail.map_or(at_once - 1, |percent| at_once * percent / 100);
        Batch { at_once, may_fail }
    };
    Some(Pace {
        play: play.to_string(),
        batches: amounts.iter().map(batch).collect(),
        in_step: serial.is_some_and(|serial| serial.in_step),
    })
}
