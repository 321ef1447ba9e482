//! What is done to many letters: counted first, asked about, watched, and stopped where nothing is left open.

use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::super::again::Again;
use super::super::console::{ConsentArgs, Console};
use super::super::failure::Failure;
use super::super::work::block_on;
use super::tally;
use crate::dead_letters::{Counts, DeadLetters, Interrupted, Left, LettersError, Plan, Redrive};
use crate::payload::harmless;
use crate::shutdown::{Exit, Shutdown};

/// How long a transaction that is under way may take to end once it is told to: as long as one is open, and some.
const PATIENCE: Duration = Duration::from_secs(5);
/// So many letters that were left are named.
const NAMED: usize = 100;

/// Whether it is meant.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ExecuteArgs {
    /// Does it; without, it is counted what would be done
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    consent: ConsentArgs,
}

impl ExecuteArgs {
    pub(super) fn again(&self, again: &mut Again) {
        again.flag("execute", true);
        self.consent.again(again);
    }
}

/// Who it is.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ByArgs {
    /// Who wants it so, for the letters' marks; by default the user
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

impl ByArgs {
    pub(super) fn who(&self) -> Result<String, Failure> {
        let who = self.by.clone().or_else(|| std::env::var("USER").ok());
        who.filter(|who| !who.is_empty())
            .ok_or_else(|| Failure::usage("say who you are with `--by`: this environment has no USER"))
    }

    /// The same, but that nobody need say it who only counts.
    pub(super) fn who_of(&self, execute: &ExecuteArgs) -> Result<String, Failure> {
        if execute.execute { self.who() } else { Ok(self.who().unwrap_or_default()) }
    }
}

/// What is done to the letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Redrive,
    Discard,
}

impl Verb {
    pub(super) fn planned(self) -> &'static str {
        match self {
            Self::Redrive => "would_redrive",
            Self::Discard => "would_discard",
        }
    }

    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Discard => "discarded",
        }
    }

    fn asked(self) -> &'static str {
        match self {
            Self::Redrive => "re-drives",
            Self::Discard => "discards",
        }
    }
}

/// A change of many letters.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) verb: Verb,
    /// What it is counted by.
    pub(super) counted: Redrive,
    pub(super) execute: &'a ExecuteArgs,
    /// What goes on with it after an interruption.
    pub(super) again: Again,
}

impl Change<'_> {
    /// Counts, asks, and has `work` do it.
    pub(super) fn run<W>(
        self,
        letters: DeadLetters,
        mut console: Console,
        work: impl FnOnce(DeadLetters) -> W,
    ) -> Result<Exit, Failure>
    where
        W: Future<Output = Result<Counts, Interrupted>>,
    {
        let Self { verb, counted, execute, again } = self;
        let plan = plan(&letters, &console, counted)?;
        let planned = tally::planned(verb, &plan);
        if !execute.execute {
            console.answer(&planned, "")?;
            console.note("counted, and nothing was changed: `--execute` does it");
            return Ok(Exit::Drained);
        }
        let (total, topic) = (plan.counts.selected, letters.topic().clone());
        if total == 0 {
            console.answer(&tally::done(verb, &plan.counts, &[]), "")?;
            console.note("no such letter is left, and nothing was changed");
            // As where there were some: what stays is told each time.
            return Ok(if plan.counts.foreign > 0 {
                console.note(&told(plan.counts.foreign, &[]));
                Exit::Found
            } else {
                Exit::Drained
            });
        }
        console.note(&tally::table(&planned)?);
        let question = format!("this {} {} of `{}`", verb.asked(), tally::letters(total), harmless(topic.as_str()));
        console.consent(&execute.consent, &question, &total.to_string())?;
        console.note(&format!("if it is interrupted, this goes on:\n{again}"));
        let named = Arc::new(Mutex::new(Vec::new()));
        let letters = letters.hearing_of_left({
            let named = Arc::clone(&named);
            move |left| {
                let mut named = named.lock();
                if named.len() < NAMED {
                    named.push(left.clone());
                }
            }
        });
        let done = watched(letters, &console, total, work)?;
        let named = std::mem::take(&mut *named.lock());
        let counts = match &done {
            Ok(counts) => counts,
            Err(interrupted) => &interrupted.counts,
        };
        let left = counts.unwritten + counts.foreign;
        if left > 0 {
            console.note(&told(left, &named));
        }
        let counts = done.map_err(|interrupted| interruption(interrupted, total, &again))?;
        console.answer(&tally::done(verb, &counts, &named), "")?;
        Ok(if left > 0 { Exit::Found } else { Exit::Drained })
    }
}

/// Which records were left where they are, and why.
fn told(left: u64, named: &[Left]) -> String {
    let mut text = match left {
        1 => "1 record was left where it is".to_owned(),
        left => format!("{left} records were left where they are"),
    };
    text += if named.is_empty() { ", as such that are no letters: `dlq ls` lists them" } else { ":" };
    for Left { partition, offset, why, .. } in named {
        text += &format!("\n  {partition}:{offset} {}", harmless(&why.to_string()));
    }
    if !named.is_empty() && left > named.len() as u64 {
        text += &format!("\n  and {} more", left - named.len() as u64);
    }
    text + "\n`--except PARTITION:OFFSET` leaves a record out"
}

/// Counts, and shows how many were looked at so far.
fn plan(letters: &DeadLetters, console: &Console, counted: Redrive) -> Result<Plan, Failure> {
    let bar = console.progress(None);
    let watched = letters.clone().watched({
        let bar = bar.clone();
        move |counts| {
            bar.set_position(looked_at(&counts));
            ControlFlow::Continue(())
        }
    });
    let plan = block_on(async { Ok(watched.plan(counted).await?) });
    bar.finish_and_clear();
    plan
}

fn looked_at(counts: &Counts) -> u64 {
    let Counts { selected, at_cap, already_redriven, already_discarded, foreign, unwritten, unmatched } = counts;
    selected + at_cap + already_redriven + already_discarded + foreign + unwritten + unmatched
}

/// Does the work, shows how far it is, and has it end behind its transaction at a signal.
fn watched<W>(
    letters: DeadLetters,
    console: &Console,
    total: u64,
    work: impl FnOnce(DeadLetters) -> W,
) -> Result<Result<Counts, Interrupted>, Failure>
where
    W: Future<Output = Result<Counts, Interrupted>>,
{
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals().map_err(|error| Failure::new(format!("signals can't be listened to: {error}")))?;
    let bar = console.progress(Some(total));
    let letters = letters.watched({
        let (bar, shutdown) = (bar.clone(), shutdown.clone());
        move |counts| {
            bar.set_position(counts.selected);
            if shutdown.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    });
    let token = shutdown.token();
    let done = block_on(async {
        let mut work = pin!(work(letters));
        tokio::select! {
            done = &mut work => return Ok(done),
            () = token.cancelled() => {}
        }
        // At a slow rate it waits for the next letter, with nothing open.
        let stopped = |_| {
            let counts = Counts { selected: bar.position(), ..Counts::default() };
            Err(Interrupted { counts, error: LettersError::Stopped })
        };
        Ok(timeout(PATIENCE, work).await.unwrap_or_else(stopped))
    });
    bar.finish_and_clear();
    done
}

/// How far it got, and how to go on.
fn interruption(interrupted: Interrupted, total: u64, again: &Again) -> Failure {
    let Interrupted { counts, error } = interrupted;
    match Failure::from(error) {
        Failure::Failed(why) => {
            let done = counts.selected;
            Failure::Failed(format!(
                "{why}: {done} of {} were done, this goes on behind them:\n{again}",
                tally::letters(total)
            ))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::record::{Offset, Partition};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        execute: ExecuteArgs,
    }

    #[test]
    fn whoever_is_interrupted_learns_how_to_go_on() {
        let mut again = Again::new(&[]);
        again.flag("execute", true);
        let said = |error| {
            let counts = Counts { selected: 3, ..Counts::default() };
            interruption(Interrupted { counts, error }, 7, &again)
        };
        let Failure::Failed(text) = said(LettersError::Stopped) else { panic!("it could not be done") };
        assert!(text.starts_with("stopped: 3 of 7 letters were done, this goes on behind them:\n"), "{text}");
        assert!(text.ends_with(" --execute"), "{text}");
        // To which going on would be no answer.
        let Failure::Usage(text) = said(LettersError::AnotherRequest("r".to_owned())) else { panic!("it can't work") };
        assert!(text.starts_with("request `r` was begun with another selection"), "{text}");
    }

    #[test]
    fn what_was_left_is_named_with_its_place_and_why() {
        let left = |offset: i64| Left {
            partition: Partition(2),
            offset: Offset(offset),
            why: LettersError::UnknownTopic("a\u{1b}b".into()),
        };
        let text = told(3, &[left(7), left(9)]);
        let expected = "3 records were left where they are:
  2:7 there is no topic `a\\u{1b}b`: check its name, or create it
  2:9 there is no topic `a\\u{1b}b`: check its name, or create it
  and 1 more
`--except PARTITION:OFFSET` leaves a record out";
        assert_eq!(text, expected);
        let expected = "2 records were left where they are, as such that are no letters: `dlq ls` lists them
`--except PARTITION:OFFSET` leaves a record out";
        assert_eq!(told(2, &[]), expected);
    }

    #[test]
    fn who_it_is_must_be_known() {
        let by = |who: &str| ByArgs { by: Some(who.to_owned()) }.who();
        assert!(matches!(by("ada"), Ok(who) if who == "ada"));
        assert!(matches!(by(""), Err(Failure::Usage(_))));
        // As in most containers.
        let nobody = |arguments: &[&str]| {
            let execute = Line::try_parse_from(["line"].iter().chain(arguments)).expect("it is well formed").execute;
            ByArgs { by: Some(String::new()) }.who_of(&execute)
        };
        assert!(nobody(&[]).is_ok(), "it is counted");
        assert!(matches!(nobody(&["--execute"]), Err(Failure::Usage(_))));
    }
}
