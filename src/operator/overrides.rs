//! `overrides`, `lift`: what operators have changed of the daemons, and taking it back.

use clap::Args;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row, Tone};
use super::steer::{Asked, holds};
use crate::api::{LiftRequest, Lifted, OverridesShown};
use crate::config::overrides_as_yaml;
use crate::fleet::{Standing, tally};
use crate::record::Timestamp;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Overrides {
    /// As a part of the configuration, to have it for good
    #[arg(long, conflicts_with = "output")]
    as_config: bool,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Lift {
    /// Its name, as `overrides` shows it
    id: String,
    #[command(flatten)]
    asked: Asked,
}

impl Row for Standing {
    const HEAD: &'static [Column] = &[
        Column::text("ID"),
        Column::text("DAEMON"),
        Column::text("CHANGE"),
        Column::text("BY"),
        Column::text("SINCE"),
        Column::text("UNTIL"),
        Column::text("WHERE"),
        Column::text("WHY"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Self { of, here_alone } = self;
        let moment = |millis: u64| {
            let time = i64::try_from(millis).ok().and_then(Timestamp::from_millis);
            Cell::of(time.map(|time| Moment(time).in_seconds()))
        };
        vec![
            Cell::new(&of.id),
            Cell::new(&of.daemon),
            Cell::new(of.change.to_string()),
            Cell::new(&of.by),
            moment(of.at),
            moment(of.until),
            if *here_alone { Cell::new("one process").tone(Tone::Warning) } else { Cell::new("all") },
            Cell::new(&of.reason),
        ]
    }
}

impl Overrides {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.output);
        let OverridesShown { alone, trouble, overrides } = self.api.agent(read)?.get("/api/v1/overrides")?;
        if self.as_config {
            return console.bytes(overrides_as_yaml(&overrides).as_bytes());
        }
        console.answer(&overrides, "nothing is changed")?;
        if let Some(trouble) = trouble {
            console.note(&format!("some may be missing: {trouble}"));
        }
        if let Some(why) = alone {
            console.note(&format!("what is changed holds in that process alone, until its end: {why}"));
        }
        Ok(Exit::Drained)
    }
}

impl Lift {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.asked.output);
        let path = format!("/api/v1/overrides/{}/lift", encoded(&self.id));
        let Lifted { lifted, reached, trouble } =
            self.asked.api.agent(read)?.post(&path, &LiftRequest { reason: self.asked.why.reason })?;
        console.answer([&lifted], "")?;
        let (obey, all) = tally(&reached);
        console.note(&format!("taken back in {obey} of {all} processes"));
        Ok(holds(&console, &reached, trouble.as_deref()))
    }
}
