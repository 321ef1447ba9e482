//! `dlq redrive`: writes letters' records again, as a request that can be gone on with.

use std::str::FromStr;

use clap::Args;

use super::super::ReadFile;
use super::super::again::Again;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::super::moment::Moment;
use super::change::{ByArgs, Change, ExecuteArgs, Verb};
use super::which::{FilterArgs, LettersArgs};
use crate::dead_letters;
use crate::record::{Timestamp, Topic};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Redrive {
    #[command(flatten)]
    letters: LettersArgs,
    /// The request's name, by which it is gone on with; by default one of its own, which is told
    #[arg(long, value_name = "NAME")]
    request: Option<String>,
    /// The topic to write them to, instead of those that they were read from
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// So many records a second, at most
    #[arg(long, value_name = "N")]
    per_second: Option<Rate>,
    /// Leaves records that were re-driven so often before [3 by default]
    #[arg(long, value_name = "N")]
    cap: Option<u32>,
    #[command(flatten)]
    by: ByArgs,
    #[command(flatten)]
    execute: ExecuteArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Records a second. A finite number, so that it equals itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate(f64);

impl Eq for Rate {}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate >= 0.001);
        rate.map(Self).ok_or("allowed: a number of at least 0.001")
    }
}

impl Redrive {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let letters = self.letters.open(read)?;
        let console = Console::new(&self.output);
        let name = self.request.clone().unwrap_or_else(own_name);
        let by = self.by.who_of(&self.execute)?;
        let again = self.again(letters.topic(), &name, &by);
        let request = self.request(name, by);
        let counted = request.clone();
        let change = Change { verb: Verb::Redrive, counted, execute: &self.execute, again };
        change.run(letters, console, |letters| async move { letters.redrive(request).await })
    }

    fn request(&self, name: String, by: String) -> dead_letters::Redrive {
        let request = dead_letters::Redrive::new(name, self.filter.filter()).by(by);
        let request = self.to.iter().fold(request, |request, to| request.to_topic(to.as_str()));
        let request = self.per_second.iter().fold(request, |request, rate| request.per_second(rate.0));
        self.cap.into_iter().fold(request, dead_letters::Redrive::cap)
    }

    fn again(&self, topic: &Topic, name: &str, by: &str) -> Again {
        let mut again = Again::new(&["dlq", "redrive"]);
        self.letters.again(topic, &mut again);
        again
            .options("request", [name])
            .options("to", &self.to)
            .options("per-second", self.per_second.map(|rate| rate.0))
            .options("cap", self.cap)
            .options("by", [by]);
        self.filter.again(&mut again);
        self.output.again(&mut again);
        self.execute.again(&mut again);
        again
    }
}

/// A name that no other request has.
fn own_name() -> String {
    let now = Moment(Timestamp::now()).in_seconds().replace([':', '-'], "");
    format!("{now}-{:04x}", fastrand::u16(..))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::operator::cluster::File;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        redrive: Redrive,
    }

    fn line(arguments: &[&str]) -> Redrive {
        Line::try_parse_from(["redrive"].iter().chain(arguments)).expect("it is well formed").redrive
    }

    #[test]
    fn what_goes_on_is_the_same_request_with_what_was_left_open() {
        let said = line(&[
            "--config=my shop.yaml",
            "--set=kafka.main.brokers=b:1",
            "--cluster=main",
            "--topic=orders.dlq",
            "--to=repaired",
            "--per-second=0.5",
            "--cap=5",
            "--since=2h",
            "--until=2100-01-01T00:00:00.5Z",
            "--reason=poison",
            "--error=it's down",
            "--origin=orders",
            "--origin-partition=3",
            "--key=ada",
            "--header=trace",
            "--partition=1",
            "--offset=7",
            "--offset=9",
            "--except=1:8",
            "--with-redriven",
            "--with-discarded",
            "--output=json",
            "--execute",
            "--yes",
        ]);
        let again = said.again(&Topic::from("orders.dlq"), "r", "ada").words();
        let again: Vec<&str> = again[3..].iter().map(String::as_str).collect();
        let read = line(&again);
        let filled = Redrive { request: Some("r".to_owned()), by: line(&["--brokers=b", "--by=ada"]).by, ..said };
        assert_eq!(read, filled);
    }

    #[test]
    fn a_name_of_its_own_can_name_a_request() {
        let name = own_name();
        assert!(name.len() == 21 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{name}");
    }

    #[test]
    fn rates_that_cant_work_are_refused() {
        for wrong in ["0", "-1", "NaN", "inf", "fast", ""] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        assert_eq!("0.5".parse(), Ok(Rate(0.5)));
    }

    #[test]
    fn which_letters_must_be_said() {
        let read = |_: &File| unreachable!("there is no file");
        let failure = line(&["--brokers=localhost:9092"]).run(&read).expect_err("no topic is named");
        assert!(matches!(failure, Failure::Usage(_)), "{failure:?}");
    }
}
