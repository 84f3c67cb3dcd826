//! Several runs told as one: those of the shards of a fleet.

use indexmap::IndexSet;
use jiff::SignedDuration;

use super::{Event, ExitCode, Record, VERSION};
use crate::model::HostName;

/// Why runs are not told as one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A journal does not say which run it is of.
    #[error("{0} does not say which run it is of: its first line is missing")]
    NoStart(String),
    /// Two journals are of different commands or clusters.
    #[error("{first} is `{first_run}`, and {other} is `{other_run}`: they are not told as one")]
    Apart {
        /// The first journal.
        first: String,
        /// Its command and cluster.
        first_run: String,
        /// The one that differs from it.
        other: String,
        /// That one's.
        other_run: String,
    },
    /// A journal was named twice.
    #[error("{0} and {1} are the same run")]
    Twice(String, String),
}

/// What a run's first event says.
struct Start<'a> {
    run: &'a str,
    command: &'a str,
    cluster: &'a str,
    hosts: &'a [HostName],
}

fn start<'a>((name, records): &'a (String, Vec<Record>)) -> Result<Start<'a>, MergeError> {
    let start = records.iter().find_map(|record| match &record.event {
        Event::RunStarted {
            run,
            command,
            cluster,
            hosts,
            ..
        } => Some(Start {
            run,
            command,
            cluster,
            hosts,
        }),
        _ => None,
    });
    start.ok_or_else(|| MergeError::NoStart(name.clone()))
}

/// Returns the records of all runs as those of one, in the order of time: it has all their hosts, begins with the first of
/// them and ends with the last. It has no end where one of them has none. One run alone stays as it is.
///
/// Each run comes with the name of its journal. Fails where the runs are not of one command and one cluster.
pub fn merge(mut runs: Vec<(String, Vec<Record>)>) -> Result<Vec<Record>, MergeError> {
    if runs.len() == 1 {
        return Ok(runs.pop().map(|(_, records)| records).unwrap_or_default());
    }
    runs.sort_by_key(|(_, records)| records.first().map(|record| record.at));
    let starts = runs.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let Some((first, others)) = starts.split_first() else {
        return Ok(Vec::new());
    };
    for (index, other) in others.iter().enumerate() {
        let name = |index: usize| {
            runs.get(index)
                .map(|(name, _)| name.clone())
                .unwrap_or_default()
        };
        if (first.command, first.cluster) != (other.command, other.cluster) {
            let run = |start: &Start<'_>| format!("{} of {}", start.command, start.cluster);
            return Err(MergeError::Apart {
                first: name(0),
                first_run: run(first),
                other: name(index + 1),
                other_run: run(other),
            });
        }
        if let Some(same) = starts[..=index]
            .iter()
            .position(|start| start.run == other.run)
        {
            return Err(MergeError::Twice(name(same), name(index + 1)));
        }
    }
    let hosts: IndexSet<&HostName> = starts.iter().flat_map(|start| start.hosts).collect();
    let hosts: Vec<HostName> = hosts.into_iter().cloned().collect();
    let runs_told = starts
        .iter()
        .map(|start| start.run)
        .collect::<Vec<_>>()
        .join(" ");
    let mut exit = Some(ExitCode::Done);
    for (_, records) in &runs {
        let own = records.iter().rev().find_map(|record| match record.event {
            Event::RunFinished { exit, .. } => ExitCode::from_code(exit),
            _ => None,
        });
        exit = exit.zip(own).map(|(all, own)| all.and(own));
    }
    let mut all: Vec<Record> = runs.into_iter().flat_map(|(_, records)| records).collect();
    // Stable: what one run told in one moment stays in its order.
    all.sort_by_key(|record| record.at);
    let span = all
        .first()
        .zip(all.last())
        .map(|(first, last)| (first.at, last.at));
    let mut begun = false;
    all.retain_mut(|record| match &mut record.event {
        Event::RunStarted {
            run, hosts: own, ..
        } => {
            run.clone_from(&runs_told);
            own.clone_from(&hosts);
            !std::mem::replace(&mut begun, true)
        }
        Event::RunFinished { .. } => false,
        _ => true,
    });
    if let (Some(exit), Some((first, last))) = (exit, span) {
        let lasted = last.duration_since(first);
        let end = Record {
            v: VERSION,
            seq: 0,
            at: last,
            event: Event::RunFinished {
                exit: exit.code(),
                seconds: lasted.max(SignedDuration::ZERO).as_secs_f64(),
            },
        };
        all.push(end);
    }
    (0..)
        .zip(&mut all)
        .for_each(|(seq, record)| record.seq = seq);
    Ok(all)
}
