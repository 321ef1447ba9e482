//! `ps --fleet`: all processes of a program, or one daemon in all of them, as one of them knows them.

use serde::Serialize;

use super::agent::{Agent, encoded};
use super::console::Console;
use super::failure::Failure;
use super::ps::{of_count, time, tone};
use super::rows::{Cell, Column, Row, Tone};
use crate::api::{DaemonInFleet, DaemonInInstance, DaemonShown, FleetShown, Instance, InstanceShown};
use crate::fleet::Reported;

/// A daemon of a process.
#[derive(Serialize)]
struct Of {
    instance: Instance,
    is_this: bool,
    heard: u64,
    is_silent: bool,
    #[serde(flatten)]
    shown: DaemonShown,
}

/// Answers with every daemon of every process.
pub(super) fn show(agent: &Agent, console: &mut Console) -> Result<(), Failure> {
    let FleetShown { trouble, instances } = agent.get("/api/v1/fleet")?;
    let rows = instances.into_iter().flat_map(|InstanceShown { instance, is_this, heard, is_silent, daemons }| {
        daemons.into_iter().map(move |shown| Of { instance: instance.clone(), is_this, heard, is_silent, shown })
    });
    console.answer(&rows.collect::<Vec<_>>(), "no daemon runs")?;
    if let Some(trouble) = trouble {
        console.note(&format!("others may be missing: {trouble}"));
    }
    Ok(())
}

/// Something of a daemon, and the process that it is in.
#[derive(Serialize)]
struct Within<T> {
    process: String,
    #[serde(flatten)]
    one: T,
}

/// What there is of a daemon, in each process that has told of itself.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Partitions,
    Running,
    Errors,
}

impl Part {
    /// How much of it a process tells of a daemon, how much it leaves out, and what that is.
    fn told(self, of: &Reported) -> (usize, usize, &'static str) {
        match self {
            Self::Partitions => (of.partitions.len(), of.partitions_left_out, "partitions"),
            Self::Running => (of.attempts.len(), of.attempts_left_out, "handlers that run"),
            Self::Errors => (of.failures.len(), of.failures_left_out, "groups of failed attempts"),
        }
    }
}

/// Answers with this of a daemon in all processes.
pub(super) fn show_of(agent: &Agent, console: &mut Console, name: &str, part: Part) -> Result<(), Failure> {
    let DaemonInFleet { trouble, instances } = agent.get(&format!("/api/v1/daemons/{}/fleet", encoded(name)))?;
    let (silent, heard): (Vec<_>, Vec<_>) = instances.into_iter().partition(|of| of.is_silent);
    // Somebody else may have their partitions.
    silent.iter().for_each(|of| console.note(&format!("nothing is heard of {}", process(&of.instance))));
    let mut is_short = false;
    for DaemonInInstance { instance, reported, .. } in &heard {
        let (told, left_out, what) = part.told(reported);
        if left_out > 0 {
            is_short = true;
            let of = told + left_out;
            console.note(&format!("{} tells of {told} of its {of} {what}, the worst of them", process(instance)));
        }
    }
    if is_short {
        console.note(&format!("ask each of those by its own address for all of its own: `ps {name} --api URL`"));
    }
    match part {
        Part::Partitions => {
            let rows = within(heard, |reported| reported.partitions);
            console.answer(&rows, "no partition is assigned to it anywhere")?;
        }
        Part::Running => console.answer(&within(heard, |of| of.attempts), "no handler of it runs anywhere")?,
        Part::Errors => console.answer(&within(heard, |of| of.failures), "no attempt of it has failed anywhere")?,
    }
    if let Some(trouble) = trouble {
        console.note(&format!("others may be missing: {trouble}"));
    }
    Ok(())
}

fn process(instance: &Instance) -> String {
    format!("{}/{}", instance.host, instance.pid)
}

/// This part of the daemon, of each process.
fn within<T>(all: Vec<DaemonInInstance>, part: impl Fn(Reported) -> Vec<T>) -> Vec<Within<T>> {
    let rows = all.into_iter().flat_map(|DaemonInInstance { instance, reported, .. }| {
        part(reported).into_iter().map(move |one| Within { process: process(&instance), one })
    });
    rows.collect()
}

impl<T: Row> Row for Within<T> {
    const HEAD: &'static [Column] = &[Column::text("PROCESS")];

    fn head() -> Vec<Column> {
        [Self::HEAD, &T::head()].concat()
    }

    fn cells(&self) -> Vec<Cell> {
        let mut cells = vec![Cell::new(&self.process)];
        cells.extend(self.one.cells());
        cells
    }
}

impl Row for Of {
    const HEAD: &'static [Column] = &[
        Column::text("PROCESS"),
        Column::text("HEARD"),
        Column::text("DAEMON"),
        Column::text("STATE"),
        Column::number("RATE"),
        Column::number("PARTITIONS"),
        Column::number("HELD"),
        Column::number("STALLED"),
        Column::number("LAG"),
        Column::number("BEHIND"),
        Column::number("WORKERS"),
        Column::text("VERSION"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let DaemonShown { daemon, rate } = &self.shown;
        let now = daemon.consumer.as_ref().and_then(|consumer| consumer.now);
        let heard = match (self.is_silent, self.is_this) {
            (true, _) => Cell::new(format!("not for {}", time(self.heard))).tone(Tone::Bad),
            (_, true) => Cell::new("now"),
            _ => Cell::new(format!("{} ago", time(self.heard))),
        };
        vec![
            Cell::new(process(&self.instance)),
            heard,
            Cell::new(&daemon.name),
            Cell::new(daemon.state.name()).tone(tone(daemon)),
            Cell::new(format!("{rate:.0}/s")),
            Cell::of(now.map(|now| now.partitions)),
            of_count(now.map(|now| now.held), Tone::Warning),
            of_count(now.map(|now| now.stalled), Tone::Bad),
            Cell::of(now.map(|now| now.lag)),
            Cell::of(now.map(|now| time(now.behind))),
            Cell::of(now.map(|now| format!("{}/{}", now.busy, now.workers))),
            Cell::new(self.instance.program_version.as_ref().unwrap_or(&self.instance.version)),
        ]
    }
}
