//! A seek that a process under test was asked for: its answer, and what it means for the verdict.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use daemonry::record::{Offset, Partition};

use crate::checker::{Moment, Sought};
use crate::member::Member;
use crate::patience::until;
use crate::scenario::Scenario;

/// How an answer begins that does not say whether the partition goes on elsewhere.
const UNKNOWN: &str = "nobody knows whether ";

/// A seek on its way.
#[derive(Debug)]
#[must_use = "what it was answered belongs to the evidence"]
pub struct Seeking {
    partition: Partition,
    /// Where it goes, where that is known before.
    place: Option<Offset>,
    asked: Moment,
    command: String,
    /// How often the same was answered before.
    before: usize,
}

impl Seeking {
    /// Asks a process, which is [steered](crate::Flags::steered), to go on with a partition at a place: `beginning`, `end`, an offset, or
    /// `@` and milliseconds since 1970.
    ///
    /// # Errors
    /// When it can't be asked.
    pub fn ask(scenario: &Scenario, member: &mut Member, partition: Partition, place: impl ToString) -> Result<Self> {
        let place = place.to_string();
        let command = format!("seek {partition} {place}");
        let known = if place == "beginning" { Some(Offset(0)) } else { place.parse().ok().map(Offset) };
        let seeking = Self {
            partition,
            place: known,
            asked: scenario.moment(),
            before: member.answers(&command)?.len(),
            command,
        };
        member.order(&seeking.command)?;
        Ok(seeking)
    }

    /// Waits for the answer, and notes it: where the partition goes on, or why it does not.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn answer(
        self,
        scenario: &mut Scenario,
        member: &Member,
        deadline: Duration,
    ) -> Result<Result<Offset, String>> {
        let what = format!("the answer to `{}`, log {}", self.command, member.log_path().display());
        let answer = until(deadline, &what, || self.said(member))?;
        self.note(scenario, &answer)
    }

    /// Notes what was answered before the process ended, if anything was.
    ///
    /// # Errors
    /// When it was never said where the seek ought to go, or something else was answered than can be.
    pub fn give_up(self, scenario: &mut Scenario, member: &Member) -> Result<Option<Result<Offset, String>>> {
        if let Some(answer) = self.said(member)? {
            return self.note(scenario, &answer).map(Some);
        }
        let place = self.place.with_context(|| format!("nobody knows where `{}` would have gone", self.command))?;
        scenario.note_sought(Sought { partition: self.partition, place, asked: self.asked, done: None });
        Ok(None)
    }

    fn said(&self, member: &Member) -> Result<Option<String>> {
        Ok(member.answers(&self.command)?.into_iter().nth(self.before))
    }

    fn note(self, scenario: &mut Scenario, answer: &str) -> Result<Result<Offset, String>> {
        if let Some(reason) = answer.strip_prefix("refused, ") {
            if let Some(place) = self.place.filter(|_| reason.starts_with(UNKNOWN)) {
                scenario.note_sought(Sought { partition: self.partition, place, asked: self.asked, done: None });
            }
            return Ok(Err(reason.to_owned()));
        }
        let Some(place) = answer.strip_prefix("goes on at ") else { bail!("`{}`: `{answer}`", self.command) };
        let place = Offset(place.parse()?);
        let done = Some(scenario.moment());
        scenario.note_sought(Sought { partition: self.partition, place, asked: self.asked, done });
        Ok(Ok(place))
    }
}
