//! `pause`, `resume`, `rate`, `seek`: steer a daemon of a running process. What they change holds for that process, until its end.

use clap::Args;
use serde::Serialize;

use super::ReadFile;
use super::agent::{ApiArgs, encoded};
use super::console::{ConsentArgs, Console, OutputArgs};
use super::failure::Failure;
use super::rows::{Cell, Column, Row};
use crate::api::shown::{Destination, LimitChange, RateLimit, ScopeChange, SeekRequest, Sought, Steered};
use crate::config::Period;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Pause {
    #[command(flatten)]
    what: What,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Resume {
    #[command(flatten)]
    what: What,
}

/// A daemon, or a part of what it reads.
#[derive(Debug, PartialEq, Eq, Args)]
struct What {
    /// The daemon
    daemon: String,
    /// A topic of it, or a partition as in `orders:3`; by default all of it
    place: Option<String>,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, PartialEq, Eq, Args)]
struct Why {
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Rate {
    /// The daemon
    daemon: String,
    /// How many attempts may begin, as in `100/s` or `20/1min`; `off` for no limit
    rate: String,
    /// The same for each single key
    #[arg(long, value_name = "RATE", default_value = "off")]
    key: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Seek {
    /// The daemon
    daemon: String,
    /// The partition, as in `orders:3`
    partition: String,
    /// Where it goes on: `beginning`, `end`, an offset, or `@` and milliseconds since 1970 UTC
    to: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    consent: ConsentArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// How a daemon is steered now.
#[derive(Serialize)]
struct SteeredRow {
    paused: Vec<String>,
    rate: Option<String>,
    key_rate: Option<String>,
}

impl Row for SteeredRow {
    const HEAD: &'static [Column] = &[Column::text("PAUSED"), Column::text("RATE"), Column::text("RATE OF A KEY")];

    fn cells(&self) -> Vec<Cell> {
        let paused = (!self.paused.is_empty()).then(|| self.paused.join(", "));
        vec![Cell::of(paused), Cell::of(self.rate.clone()), Cell::of(self.key_rate.clone())]
    }
}

impl Row for Sought {
    const HEAD: &'static [Column] = &[Column::number("NEXT")];

    fn cells(&self) -> Vec<Cell> {
        vec![self.next.into()]
    }
}

impl Pause {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        self.what.change("pause", read)
    }
}

impl Resume {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        self.what.change("resume", read)
    }
}

impl What {
    fn change(self, how: &str, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let (topic, partition) = match self.place.as_deref().map(place) {
            None => (None, None),
            Some((topic, None)) => (Some(topic.to_owned()), None),
            Some((topic, Some(partition))) => (Some(topic.to_owned()), Some(partition)),
        };
        let change = ScopeChange { topic, partition, reason: self.why.reason };
        let path = format!("/api/v1/daemons/{}/{how}", encoded(&self.daemon));
        let steered: Steered = self.api.agent(read)?.post(&path, &change)?;
        tell(&self.output, &steered)
    }
}

impl Rate {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let change = LimitChange { rate: rate(&self.rate)?, key_rate: rate(&self.key)?, reason: self.why.reason };
        let path = format!("/api/v1/daemons/{}/limits", encoded(&self.daemon));
        let steered: Steered = self.api.agent(read)?.post(&path, &change)?;
        tell(&self.output, &steered)
    }
}

impl Seek {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let (topic, Some(partition)) = place(&self.partition) else {
            return Err(Failure::usage(format!("`{}` is no partition, allowed: as in `orders:3`", self.partition)));
        };
        let to = destination(&self.to)?;
        let mut console = Console::new(&self.output);
        let question =
            format!("{topic}:{partition} of `{}` goes on at {}, and that is committed", self.daemon, self.to);
        console.consent(&self.consent, &question, "seek")?;
        let request = SeekRequest { topic: topic.to_owned(), partition, to, reason: self.why.reason };
        let path = format!("/api/v1/daemons/{}/seek", encoded(&self.daemon));
        let sought: Sought = self.api.agent(read)?.post(&path, &request)?;
        console.answer([&sought], "")?;
        Ok(Exit::Drained)
    }
}

fn tell(output: &OutputArgs, steered: &Steered) -> Result<Exit, Failure> {
    let shown = |limit: RateLimit| format!("{}/{:?}", limit.attempts, std::time::Duration::from_millis(limit.interval));
    let row = SteeredRow {
        paused: steered.paused.iter().map(ToString::to_string).collect(),
        rate: steered.limits.rate.map(shown),
        key_rate: steered.limits.key_rate.map(shown),
    };
    Console::new(output).answer([&row], "")?;
    Ok(Exit::Drained)
}

/// A topic, and a partition of it where one is named.
fn place(text: &str) -> (&str, Option<i32>) {
    // Names of topics have no colon.
    match text.rsplit_once(':') {
        Some((topic, partition)) => (topic, partition.parse().ok()),
        None => (text, None),
    }
}

fn rate(text: &str) -> Result<Option<RateLimit>, Failure> {
    if text == "off" {
        return Ok(None);
    }
    let refused = || Failure::usage(format!("`{text}` is no rate, allowed: as in `100/s`, `20/1min`, or `off`"));
    let (attempts, interval) = text.split_once('/').ok_or_else(refused)?;
    let attempts: u32 = attempts.parse().ok().filter(|attempts| *attempts > 0).ok_or_else(refused)?;
    let is_unit = !interval.starts_with(|first: char| first.is_ascii_digit());
    let interval = if is_unit { format!("1{interval}") } else { interval.to_owned() };
    let Period(interval) = interval.parse().map_err(|_| refused())?;
    let interval = u64::try_from(interval.as_millis()).ok().filter(|millis| *millis > 0).ok_or_else(refused)?;
    Ok(Some(RateLimit { attempts, interval }))
}

fn destination(text: &str) -> Result<Destination, Failure> {
    let refused = || {
        Failure::usage(format!("`{text}` is no place, allowed: beginning, end, an offset, @MILLISECONDS since 1970"))
    };
    match text {
        "beginning" => Ok(Destination::Beginning),
        "end" => Ok(Destination::End),
        _ => match text.strip_prefix('@') {
            Some(millis) => millis.parse().map(Destination::Time).map_err(|_| refused()),
            None => text.parse().map(Destination::Offset).map_err(|_| refused()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_places_are_read() {
        let read = |text| rate(text).ok().map(|limit| limit.map(|limit| (limit.attempts, limit.interval)));
        assert_eq!(read("100/s"), Some(Some((100, 1_000))));
        assert_eq!(read("20/1min"), Some(Some((20, 60_000))));
        assert_eq!(read("off"), Some(None));
        for wrong in ["", "100", "0/s", "x/s", "100/", "100/0s", "-1/s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(place("orders:3"), ("orders", Some(3)));
        assert_eq!(place("orders.created"), ("orders.created", None));
        let to = |text| destination(text).ok();
        assert_eq!(
            [to("end"), to("42"), to("@1700000000000")],
            [Some(Destination::End), Some(Destination::Offset(42)), Some(Destination::Time(1_700_000_000_000))]
        );
        assert_eq!([to("middle"), to("@"), to("")], [None, None, None]);
    }
}
