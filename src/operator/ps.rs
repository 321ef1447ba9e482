//! `ps`: what the daemons of a running process are at.

use std::time::Duration;

use clap::Args;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::fleet::{self, Part};
use super::rows::{Cell, Column, Row, Tone};
use crate::api::shown::{Attempt, Condition, Daemon, FailedAttempts, HeldBack, Now, Partition};
use crate::record::Timestamp;
use crate::shutdown::Exit;

/// What runs longer than this share of its time is worth a look.
const LATE: f64 = 0.8;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Ps {
    /// Its partitions, those that are stuck first; without a name, all daemons
    daemon: Option<String>,
    /// In all processes of the program, as the one that is asked knows them
    #[arg(long)]
    fleet: bool,
    /// The handlers of it that run, the longest first
    #[arg(long, requires = "daemon", conflicts_with = "errors")]
    running: bool,
    /// Its attempts that have failed, by what they have in common
    #[arg(long, requires = "daemon")]
    errors: bool,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Ps {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let (agent, mut console) = (self.api.agent(read)?, Console::new(&self.output));
        if self.fleet {
            match &self.daemon {
                Some(daemon) => fleet::show_of(&agent, &mut console, daemon, self.part())?,
                None => fleet::show(&agent, &mut console)?,
            }
            return Ok(Exit::Drained);
        }
        let Some(daemon) = &self.daemon else {
            let daemons: Vec<Daemon> = agent.get("/api/v1/daemons")?;
            console.answer(&daemons, "no daemon runs")?;
            return Ok(Exit::Drained);
        };
        let path = |what: &str| format!("/api/v1/daemons/{}/{what}", encoded(daemon));
        if self.running {
            let attempts: Vec<Attempt> = agent.get(&path("attempts"))?;
            console.answer(&attempts, "no handler of it runs")?;
        } else if self.errors {
            let failures: Vec<FailedAttempts> = agent.get(&path("failures"))?;
            console.answer(&failures, "no attempt of it has failed")?;
        } else {
            let partitions: Vec<Partition> = agent.get(&path("partitions"))?;
            console.answer(&partitions, "no partition is assigned to it here")?;
        }
        Ok(Exit::Drained)
    }
}

impl Ps {
    fn part(&self) -> Part {
        match (self.running, self.errors) {
            (true, _) => Part::Running,
            (_, true) => Part::Errors,
            _ => Part::Partitions,
        }
    }
}

impl Row for Daemon {
    const HEAD: &'static [Column] = &[
        Column::text("DAEMON"),
        Column::text("STATE"),
        Column::number("FOR"),
        Column::number("PARTITIONS"),
        Column::number("HELD"),
        Column::number("STALLED"),
        Column::number("LAG"),
        Column::number("BEHIND"),
        Column::number("QUEUED"),
        Column::number("PARKED"),
        Column::number("WORKERS"),
        Column::number("LETTERS"),
        Column::number("RESTARTS"),
        Column::text("WHY"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let now = self.consumer.as_ref().and_then(|consumer| consumer.now);
        let of = |what: fn(Now) -> String| Cell::of(now.map(what));
        let count = |what: fn(Now) -> usize, tone| of_count(now.map(what), tone);
        let tone = tone(self);
        let letters = self.consumer.as_ref().map(|consumer| consumer.counts.dead_lettered);
        vec![
            Cell::new(&self.name),
            Cell::new(self.state.name()).tone(tone),
            Cell::new(time(self.state_for)),
            of(|now| now.partitions.to_string()),
            count(|now| now.held, Tone::Warning),
            count(|now| now.stalled, Tone::Bad),
            of(|now| now.lag.to_string()),
            of(|now| time(now.behind)),
            of(|now| format!("{}/{}", now.queued, now.queue_capacity)),
            of(|now| now.parked.to_string()),
            of(|now| format!("{}/{}", now.busy, now.workers)),
            Cell::of(letters),
            self.restarts.into(),
            Cell::new(self.why().unwrap_or_default()),
        ]
    }
}

impl Row for Partition {
    const HEAD: &'static [Column] = &[
        Column::text("PARTITION"),
        Column::number("LAG"),
        Column::number("BEHIND"),
        Column::number("COMMITTED"),
        Column::number("OLDEST"),
        Column::number("POSITION"),
        Column::number("AHEAD"),
        Column::number("QUEUED"),
        Column::number("PARKED"),
        Column::number("LANES"),
        Column::number("DEEPEST"),
        Column::number("BUSY"),
        Column::text("HELD BACK"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let state = match (self.stalled, self.held, self.silent, self.probation) {
            (Some(millis), ..) => Cell::new(format!("stalled for {}", time(millis))).tone(Tone::Bad),
            (_, Some(held), ..) => Cell::new(held.name()).tone(match held {
                HeldBack::DeadLetter | HeldBack::CircuitBreaker => Tone::Bad,
                HeldBack::Window | HeldBack::Parked | HeldBack::Paused => Tone::Warning,
            }),
            (_, _, true, _) => Cell::new("no broker answers").tone(Tone::Warning),
            (.., true) => Cell::new("probation").tone(Tone::Warning),
            _ => Cell::new(""),
        };
        vec![
            Cell::new(format!("{}[{}]", self.topic, self.partition)),
            Cell::of(self.lag),
            Cell::new(time(self.behind)),
            Cell::of(self.committed),
            Cell::of(self.oldest_unfinished),
            Cell::of(self.position),
            self.finished_ahead.into(),
            self.queued.into(),
            self.parked.into(),
            self.lanes.into(),
            self.deepest_lane.into(),
            self.busy.into(),
            state,
        ]
    }
}

impl Row for Attempt {
    const HEAD: &'static [Column] = &[
        Column::number("WORKER"),
        Column::number("FOR"),
        Column::number("TIMEOUT"),
        Column::text("PARTITION"),
        Column::number("OFFSET"),
        Column::text("HANDLER"),
    ];

    fn cells(&self) -> Vec<Cell> {
        #[allow(clippy::cast_precision_loss)]
        let is_late = self.timeout.is_some_and(|timeout| self.runs as f64 > timeout as f64 * LATE);
        let tone = match (self.overdue, is_late) {
            (true, _) => Tone::Bad,
            (_, true) => Tone::Warning,
            _ => Tone::Plain,
        };
        vec![
            self.worker.into(),
            Cell::new(time(self.runs)).tone(tone),
            Cell::of(self.timeout.map(time)),
            Cell::new(format!("{}[{}]", self.topic, self.partition)),
            self.offset.into(),
            Cell::new(&self.handler),
        ]
    }
}

impl Row for FailedAttempts {
    const HEAD: &'static [Column] = &[
        Column::number("COUNT"),
        Column::text("LAST"),
        Column::text("FIRST"),
        Column::text("REASON"),
        Column::text("TOPIC"),
        Column::text("ONE AT"),
        Column::text("HANDLER"),
        Column::text("ERROR"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let example = &self.example;
        vec![
            self.count.into(),
            Cell::new(ago(self.last)),
            Cell::new(ago(self.first)),
            Cell::new(&self.reason),
            Cell::new(&self.topic),
            Cell::new(format!("[{}] {}", example.partition, example.offset)),
            Cell::new(&self.handler),
            Cell::new(&self.pattern),
        ]
    }
}

/// How long ago that was, in milliseconds since 1970 UTC.
fn ago(at: u64) -> String {
    format!("{} ago", time(Timestamp::now().as_millis().saturating_sub(at)))
}

/// How a daemon is to be looked at.
pub(super) fn tone(daemon: &Daemon) -> Tone {
    match daemon.condition() {
        Condition::Good => Tone::Good,
        Condition::Warning => Tone::Warning,
        Condition::Bad => Tone::Bad,
    }
}

/// A count that stands out where it is not 0.
pub(super) fn of_count(count: Option<usize>, tone: Tone) -> Cell {
    Cell::of(count).tone(if count.is_some_and(|count| count > 0) { tone } else { Tone::Plain })
}

/// Milliseconds, to two units.
pub(super) fn time(millis: u64) -> String {
    let seconds = millis / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, 0) if millis > 0 => format!("{:?}", Duration::from_millis(millis)),
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, hours, ..) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        let shown = [0, 7, 59_999, 60_000, 3_599_999, 3_600_000, 90_061_000].map(time);
        assert_eq!(shown, ["0s", "7ms", "59s", "1m0s", "59m59s", "1h0m", "1d1h"]);
    }
}
