//! `commands`: what operators have ordered of the daemons, and which processes have acknowledged it.

use clap::Args;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row, Tone};
use crate::api::{Acknowledgement, CommandShown, CommandsShown, InInstance};
use crate::record::Timestamp;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Commands {
    /// One of them, as the list names it: with what each process has made of it
    id: Option<String>,
    /// No more than so many, the latest [50 by default]
    #[arg(long, value_name = "N", conflicts_with = "id", value_parser = clap::value_parser!(u16).range(1..=256))]
    limit: Option<u16>,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

impl Row for CommandShown {
    const HEAD: &'static [Column] = &[
        Column::text("ID"),
        Column::text("WHEN"),
        Column::text("DAEMON"),
        Column::text("COMMAND"),
        Column::text("BY"),
        Column::text("ACKNOWLEDGED"),
        Column::text("NOT BY"),
        Column::text("WHY"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let when = i64::try_from(self.at).ok().and_then(Timestamp::from_millis);
        let tone = if self.acknowledged < self.of || self.trouble.is_some() { Tone::Warning } else { Tone::Plain };
        let not_by: Vec<String> =
            self.instances.iter().map(|one| format!("{} {}", one.instance, one.state.name())).collect();
        let ended = if self.ended > 0 { format!(", {} ended", self.ended) } else { String::new() };
        vec![
            Cell::new(&self.id),
            Cell::of(when.map(|when| Moment(when).in_seconds())),
            Cell::new(&self.daemon),
            Cell::new(&self.what),
            Cell::new(&self.by),
            Cell::new(format!("{}/{}{ended}", self.acknowledged, self.of)).tone(tone),
            Cell::of((!not_by.is_empty()).then(|| not_by.join(", "))),
            Cell::new(&self.reason),
        ]
    }
}

impl Row for InInstance {
    const HEAD: &'static [Column] = &[Column::text("PROCESS"), Column::text("STATE"), Column::text("WHY")];

    fn cells(&self) -> Vec<Cell> {
        let tone = match self.state {
            Acknowledgement::Acknowledged => Tone::Plain,
            Acknowledgement::Refused | Acknowledgement::NotHeard | Acknowledgement::Silent => Tone::Warning,
            Acknowledgement::Gone => Tone::Faint,
        };
        vec![Cell::new(&self.instance), Cell::new(self.state.name()).tone(tone), Cell::of(self.why.as_ref())]
    }
}

impl Commands {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.output);
        let agent = self.api.agent(read)?;
        if let Some(id) = &self.id {
            let command: CommandShown = agent.get(&format!("/api/v1/commands/{}", encoded(id)))?;
            if !console.is_for_people() {
                console.object(&command)?;
                return Ok(Exit::Drained);
            }
            let CommandShown { daemon, what, by, reason, acknowledged, of, ended, trouble, .. } = &command;
            let ended = if *ended > 0 { format!("; {ended} have ended since") } else { String::new() };
            console
                .note(&format!("{daemon}: {what}, by {by}: {reason}; acknowledged by {acknowledged} of {of}{ended}"));
            console.answer(&command.instances, "")?;
            if let Some(trouble) = trouble {
                console.note(trouble);
            }
            return Ok(Exit::Drained);
        }
        let limit = self.limit.map_or(String::new(), |limit| format!("?limit={limit}"));
        let CommandsShown { trouble, commands } = agent.get(&format!("/api/v1/commands{limit}"))?;
        console.answer(&commands, "nothing was ordered")?;
        if let Some(trouble) = trouble {
            console.note(&format!("some may be missing: {trouble}"));
        }
        Ok(Exit::Drained)
    }
}
