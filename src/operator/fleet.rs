//! `ps --fleet`: all processes of a program, as one of them knows them.

use serde::Serialize;

use super::agent::Agent;
use super::console::Console;
use super::failure::Failure;
use super::ps::{of_count, time, tone};
use super::rows::{Cell, Column, Row, Tone};
use crate::api::{DaemonShown, FleetShown, Instance, InstanceShown};

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
            Cell::new(format!("{}/{}", self.instance.host, self.instance.pid)),
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
            Cell::new(&self.instance.version),
        ]
    }
}
