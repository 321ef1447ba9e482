//! Runs programs, one at a time, each in a group of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use integration::patience::until;
use integration::{Topics, idle};
use meter::Report;
use meter::payload::now_us;

use crate::builder::Builder;
use crate::figures::Figure;
use crate::loader::Loader;
use crate::peer::Peer;
use crate::plan::{Flags, Job, Step, steps};
use crate::row::Row;
use crate::sample::{Sample, Samples};

/// What a run may take.
const LIMIT: Duration = Duration::from_secs(150);
/// How long a consumer has to join its group before messages come.
const JOIN: Duration = Duration::from_secs(3);
/// How long an idle process is watched.
const IDLE: Duration = Duration::from_secs(20);

/// What runs on which cluster.
#[derive(Debug)]
pub struct Runner {
    brokers: String,
    loader: Loader,
    peers: Vec<Peer>,
    commands: BTreeMap<String, Vec<String>>,
    logs: PathBuf,
    samples: Samples,
}

impl Runner {
    /// For these peers, which are built where they have to be. One that can't be is left out, which is said, and is a sample without a
    /// label.
    ///
    /// # Errors
    /// When one of ours can't be run, or the directory for logs can't be made.
    pub fn new(brokers: String, peers: Vec<Peer>, directory: &Path) -> Result<Self> {
        let builder = Builder::new(directory)?;
        let (mut able, mut commands, mut samples) = (Vec::new(), BTreeMap::new(), Samples::default());
        for peer in peers {
            match peer.command(&builder) {
                Ok(command) => {
                    commands.insert(peer.name.clone(), command);
                    able.push(peer);
                }
                Err(error) if peer.is_ours() => return Err(error),
                Err(error) => {
                    eprintln!("bench: {} is left out: {error:#}", peer.name);
                    samples.push(failed("", &peer.name, 0, &error));
                }
            }
        }
        let loader = Loader::new(&brokers)?;
        Ok(Self { brokers, loader, peers: able, commands, logs: directory.to_owned(), samples })
    }

    /// Makes all runs of these rows.
    ///
    /// # Errors
    /// When a topic can't be filled. A run that fails is a sample.
    pub fn run(&mut self, rows: &[Row], runs: u32) -> Result<()> {
        self.warm_up()?;
        for row in rows {
            let steps = steps(*row, &self.peers);
            self.fill(&steps)?;
            for run in 1..=row.rounds(runs) {
                self.round(&steps, run);
            }
        }
        Ok(())
    }

    /// Sees to it that the topics are there.
    ///
    /// # Errors
    /// When one can't be filled.
    pub fn fill(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            if let Job::Consume(topic, _) = &step.job {
                self.loader.fill(topic)?;
            }
        }
        Ok(())
    }

    /// Makes one run each.
    pub fn round(&mut self, steps: &[Step], run: u32) {
        for step in steps {
            let sample = self.step(step, run).unwrap_or_else(|error| failed(&step.label, &step.peer, run, &error));
            eprintln!("bench: {}", said(&sample));
            self.samples.push(sample);
        }
    }

    /// A cluster makes the topic of the commits when the first group comes, which is nothing that a consumer is to be measured by.
    fn warm_up(&self) -> Result<()> {
        let steps = steps(Row::Start, &self.peers);
        let first = steps.first().context("there is a raw loop")?;
        self.fill(&steps)?;
        self.step(first, 0).map(drop)
    }

    /// What has come of it.
    pub fn into_samples(self) -> Samples {
        self.samples
    }

    fn step(&self, step: &Step, run: u32) -> Result<Sample> {
        let sample = |report: Report, start_ms| Sample {
            label: step.label.clone(),
            peer: step.peer.clone(),
            run,
            report: Some(report),
            start_ms,
            error: None,
            is_earlier: false,
        };
        match &step.job {
            Job::Consume(topic, flags) => {
                let (report, start_ms) = self.start(step, &topic.full_name(), flags)?.end()?;
                // How long a message lay in the topic tells nothing of who reads it.
                Ok(sample(Report { p50_ms: None, p99_ms: None, ..report }, start_ms))
            }
            Job::Follow(rate, flags) => {
                let topic = self.loader.fresh("daemonry-bench-paced")?;
                let running = self.start(step, &topic, flags)?;
                thread::sleep(JOIN);
                let ended = self.loader.pace(&topic, flags.count, *rate).and_then(|()| running.end());
                self.loader.delete(&topic)?;
                let (report, start_ms) = ended?;
                Ok(sample(report, start_ms))
            }
            Job::Idle(partitions) => {
                let cpu = idle::measure(&Topics::connect(&self.brokers)?, &self.brokers, *partitions, IDLE)?;
                let (user, system) = (cpu.user.as_secs_f64(), cpu.system.as_secs_f64());
                let report =
                    Report { secs: IDLE.as_secs_f64(), cpu_user_s: user, cpu_sys_s: system, ..Report::default() };
                Ok(sample(report, None))
            }
        }
    }

    fn start(&self, step: &Step, topic: &str, flags: &Flags) -> Result<Running> {
        let command = self.commands.get(&step.peer).with_context(|| format!("{} is no peer", step.peer))?;
        let (program, first) = command.split_first().context("a command line has a program")?;
        let group = format!("daemonry-bench-{}-{}", step.peer, fastrand::u64(..));
        let log = self.logs.join(format!("run.{}.log", step.peer));
        let started_us = now_us();
        let child = Command::new(program)
            .args(first)
            .args(["--brokers", &self.brokers, "--topic", topic, "--group", &group])
            .args(["--count", &flags.count.to_string(), "--work", flags.work])
            .args(["--concurrency", &flags.concurrency.to_string(), "--ordering", flags.order.name()])
            .args(&flags.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        Ok(Running { child, started_us, log })
    }
}

/// A program that runs. It doesn't outlive this.
struct Running {
    child: Child,
    started_us: u64,
    log: PathBuf,
}

impl Running {
    /// Waits for its end, and gives its report, and the time to its first message.
    fn end(mut self) -> Result<(Report, Option<f64>)> {
        let child = &mut self.child;
        until(LIMIT, "the end of the run", || Ok(child.try_wait()?))?;
        let mut output = String::new();
        child.stdout.take().context("its output was asked for")?.read_to_string(&mut output)?;
        let Some(line) = output.lines().rfind(|line| line.starts_with('{')) else {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("no result, its last words: {}", log.lines().last().unwrap_or("none"));
        };
        let report: Report = serde_json::from_str(line).with_context(|| format!("cannot read `{line}`"))?;
        let start = report.first_unix_us.map(|first_us| first_us.saturating_sub(self.started_us) as f64 / 1e3);
        Ok((report, start))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, mostly; and nobody is left to be told of a failure.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn failed(label: &str, peer: &str, run: u32, error: &anyhow::Error) -> Sample {
    Sample {
        label: label.to_owned(),
        peer: peer.to_owned(),
        run,
        report: None,
        start_ms: None,
        error: Some(format!("{error:#}")),
        is_earlier: false,
    }
}

/// A sample in a line.
fn said(sample: &Sample) -> String {
    let text = |figure: Figure| figure.of(sample).map(|value| figure.text(value));
    let figures = match (&sample.error, sample.report.as_ref().map(|report| report.n)) {
        (Some(error), _) => error.clone(),
        (None, Some(1)) => text(Figure::Start).unwrap_or_default(),
        (None, Some(0) | None) => text(Figure::Share).unwrap_or_default(),
        (None, _) => {
            let figures = [Figure::Rate, Figure::Cpu, Figure::Memory, Figure::P99];
            figures.into_iter().filter_map(text).collect::<Vec<_>>().join(", ")
        }
    };
    format!("{}, {}, run {}: {figures}", sample.label, sample.peer, sample.run)
}
