//! The end of a scenario: what is known of it goes to the checker.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{STOP, Scenario};
use crate::checker::{Crash, Evidence, Log, Reason, Verdict, judge};
use crate::commit_log;
use crate::figures::Figures;
use crate::member::Member;
use crate::patience::unix_ms;
use crate::scale::Scale;
use crate::seed;

/// How long a success may stay uncommitted before a crash: the commit interval of a second, and a rebalance in which commits are refused.
const UNCOMMITTED: Duration = Duration::from_secs(8);

impl Scenario {
    /// Kills a process with SIGKILL.
    ///
    /// # Errors
    /// When it had ended before.
    pub fn kill(&mut self, mut member: Member) -> Result<()> {
        self.note_killed(member.pid());
        member.kill()
    }

    /// Notes a process that is killed with SIGKILL at this moment.
    pub fn note_killed(&mut self, pid: u32) {
        let unix_ms = unix_ms();
        // What it had handed to its connection may arrive a little later.
        self.crashes.push(Crash { pid, unix_ms, until_ms: unix_ms + 1_000 });
    }

    /// Notes a process that its group has given up at this time, milliseconds since 1970, so that its last commit failed: what it finished since
    /// the one before may run again, as after a crash. It has ended, or has heard of it, and what it had begun before ends from now on
    /// within `soon`.
    pub fn note_gone(&mut self, pid: u32, since_ms: u64, soon: Duration) {
        let until_ms = unix_ms().saturating_add(u64::try_from(soon.as_millis()).unwrap_or(u64::MAX));
        self.crashes.push(Crash { pid, unix_ms: since_ms, until_ms });
    }

    /// Says that an error, or a panic, with this text in it may be logged: it belongs to what happens here.
    pub fn expect_error(&mut self, text: &str) {
        self.expected_errors.push(text.to_owned());
    }

    /// Says that what handlers need may be gone for a while, so that the last attempt of any record fails for that.
    pub fn expect_outages(&mut self) {
        self.other_reasons.push(Reason::Error);
    }

    /// As [`expect_error`](Self::expect_error), of connections that break.
    pub fn expect_broken_connections(&mut self) {
        self.expect_error("the Kafka client reports an error facility=\"FAIL\"");
        self.expect_error("the Kafka client reports an error facility=\"ERROR\"");
    }

    /// Settles, stops the processes, each of which must end with code 0, and judges.
    ///
    /// # Errors
    /// When it doesn't settle, or a process doesn't end well. A verdict with violations is none.
    pub fn finish(&mut self, members: Vec<Member>, deadline: Duration) -> Result<Verdict> {
        self.settle(deadline)?;
        self.stop_watches()?;
        let mut members = members;
        for member in &mut members {
            member.signal(rustix::process::Signal::TERM)?;
        }
        for member in &mut members {
            let code = member.wait(STOP)?;
            ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
        }
        self.judge()
    }

    /// Judges what was seen. The commits are looked at no longer.
    ///
    /// # Errors
    /// When the evidence can't be read.
    pub fn judge(&mut self) -> Result<Verdict> {
        let sampler = self.sampler.take().context("a scenario is judged once")?;
        let samples = sampler.stop()?;
        let ledger = self.ledger.read()?.to_vec();
        let commits = commit_log::read(&self.topics, &self.topic, &self.topic, self.since_ms, &ledger)?;
        // What was committed in the end must be in it, or it is not the log of all.
        let last = samples.last().map(|sample| &sample.committed).filter(|committed| !committed.is_empty());
        let is_whole = last.is_none_or(|last| commits.iter().any(|sample| sample.committed == *last));
        ensure!(is_whole, "{}: the brokers' log of commits does not have {last:?}", self.name);
        let log = |(pid, path): &(u32, PathBuf)| {
            let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Log::of(*pid, &String::from_utf8_lossy(&text)))
        };
        let logs = self.started.iter().map(log).collect::<Result<_>>()?;
        let mut letters = std::mem::take(&mut self.early_letters);
        let letter_topic = self.letter_topic();
        if self.topics.exists(&letter_topic)? {
            letters.extend(self.topics.read(&letter_topic)?);
        }
        let evidence = Evidence {
            order: self.order,
            produced: std::mem::take(&mut self.produced),
            ledger,
            letters,
            samples,
            commits,
            ends: self.topics.ends(&self.topic)?,
            logs,
            expected_errors: self.expected_errors.clone(),
            other_reasons: self.other_reasons.clone(),
            crashes: self.crashes.clone(),
            seeks: std::mem::take(&mut self.seeks),
            late_commits: std::mem::take(&mut self.late_commits),
            uncommitted: UNCOMMITTED,
            resumptions: std::mem::take(&mut self.resumptions),
            vitals: self.vitals.clone(),
        };
        let evidence = evidence.apart(std::mem::take(&mut self.former));
        self.figures = Some(Figures::of(&evidence.produced, &evidence.ledger, &evidence.letters));
        let verdict = judge(&evidence);
        eprintln!("{}: {verdict}", self.name);
        Ok(verdict)
    }

    /// Ends a scenario that went as it ought to: its topics and its directory go.
    ///
    /// # Errors
    /// When a topic can't be deleted.
    pub fn close(mut self) -> Result<()> {
        self.leave_figures()?;
        let letter_topic = self.letter_topic();
        if self.topics.exists(&letter_topic)? {
            self.topics.delete(&letter_topic)?;
        }
        self.topics.delete(&self.topic)?;
        drop(self.directory.take());
        Ok(())
    }

    fn leave_figures(&mut self) -> Result<()> {
        let figures = match self.figures {
            Some(figures) => figures,
            None => Figures::of(&self.produced, self.ledger.read()?, &self.early_letters),
        };
        let watched = self.vitals.iter().filter_map(|vitals| vitals.peak(|look| look.memory));
        let memory = self.peaks.iter().map(|peak| peak.load(Ordering::Relaxed)).chain(watched).max().unwrap_or(0);
        let is_brief = Scale::of_environment()? == Scale::Quick;
        let figures = Figures { from_ms: self.since_ms, to_ms: unix_ms(), memory, is_brief, ..figures };
        figures.leave(&self.name)
    }

    /// [`finish`](Self::finish), a clean verdict, and [`close`](Self::close).
    ///
    /// # Errors
    /// When anything is wrong.
    pub fn pass(mut self, members: Vec<Member>, deadline: Duration) -> Result<Verdict> {
        let verdict = self.finish(members, deadline)?;
        verdict.ensure_clean().with_context(|| self.name.clone())?;
        self.close()?;
        Ok(verdict)
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if let Some(directory) = self.directory.take() {
            let kept: PathBuf = directory.keep();
            // It was a number when the scenario was opened.
            let run = seed::of_run().unwrap_or_default();
            let (name, kept, variable) = (&self.name, kept.display(), seed::VARIABLE);
            eprintln!("{name}: failed, {variable}={run} repeats it; ledger and logs are kept in {kept}");
        }
    }
}
