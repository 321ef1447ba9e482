//! `overrides`, `lift`: what operators have changed of the daemons, and taking it back.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::console::{Console, OutputArgs};
use super::failure::Failure;
use super::moment::Moment;
use super::rows::{Cell, Column, Row, Tone};
use super::steer::Asked;
use crate::api::{LiftRequest, Lifted, OverridesShown};
use crate::config::{OverridesSection, PerTime, SkippedRecord, as_yaml};
use crate::fleet::{Change, Standing};
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
            return console.bytes(as_config(&overrides).as_bytes());
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

/// A configuration with these overrides alone, the latest of which stands first.
fn as_config(overrides: &[Standing]) -> String {
    #[derive(Default, Serialize)]
    struct Daemon {
        overrides: OverridesSection,
    }
    let mut daemons: BTreeMap<&str, Daemon> = BTreeMap::new();
    for Standing { of, .. } in overrides.iter().rev() {
        let section = &mut daemons.entry(&of.daemon).or_default().overrides;
        match of.change.clone() {
            Change::Pause(scope) => section.paused.push(scope),
            Change::Rate(limit) => section.rate = limit.meant().map(PerTime),
            Change::KeyRate(limit) => section.key_rate = limit.meant().map(PerTime),
            Change::Workers(workers) => section.workers = Some(workers),
            Change::Skip { topic, partition, offset } => {
                section.skipped.push(SkippedRecord { topic, partition, offset })
            }
        }
    }
    as_yaml(&BTreeMap::from([("daemons", daemons)]))
}

impl Lift {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let mut console = Console::new(&self.asked.output);
        let path = format!("/api/v1/overrides/{}/lift", encoded(&self.id));
        let Lifted { lifted, reached, trouble } =
            self.asked.api.agent(read)?.post(&path, &LiftRequest { reason: self.asked.why.reason })?;
        console.answer([&lifted], "")?;
        let obey = reached.iter().filter(|one| one.obeys).count();
        console.note(&format!("taken back in {obey} of {} processes", reached.len()));
        if let Some(trouble) = trouble {
            console.note(&trouble);
        }
        Ok(Exit::Drained)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::api::shown::{RateLimit, Scope};
    use crate::fleet::Override;

    fn of(change: Change) -> Standing {
        let (id, daemon, by, reason) = ("a".to_owned(), "orders".to_owned(), "ada".to_owned(), "why".to_owned());
        Standing { of: Override { id, daemon, change, by, reason, at: 0, until: 1 }, here_alone: false }
    }

    #[test]
    fn what_is_changed_is_a_part_of_a_configuration() {
        let key = Scope { topic: Some("created".to_owned()), partition: None, key: Some("customer-7".to_owned()) };
        let rate = |attempts| Change::Rate(RateLimit { attempts, interval: 1_000 });
        let skip = Change::Skip { topic: "created".to_owned(), partition: 3, offset: 42 };
        // The latest stands first, and counts.
        let changes = [skip, rate(5), rate(100), Change::Workers(NonZeroUsize::MIN), Change::Pause(key)];
        let text = as_config(&changes.map(of));
        assert_eq!(
            text,
            "\
daemons:
  orders:
    overrides:
      paused:
        -
          key: customer-7
          topic: created
      rate: 5/s
      skipped:
        -
          offset: 42
          partition: 3
          topic: created
      workers: 1
"
        );
    }
}
