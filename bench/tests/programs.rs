//! The programs that are measured do what they are told, and tell what came of it: a few messages each, on a real Kafka.

use anyhow::{Context as _, Result};
use bench::peer::Peer;
use bench::plan::{Flags, Job, Step};
use bench::runner::Runner;
use bench::topic;
use meter::Order;

const MESSAGES: u64 = 2_000;

fn flags(work: &'static str, more: &[&str]) -> Flags {
    let more = more.iter().map(|text| (*text).to_owned()).collect();
    Flags { count: MESSAGES, work, concurrency: 8, order: Order::Partition, more }
}

fn step(label: &str, peer: &str, job: Job) -> Step {
    Step { label: label.to_owned(), peer: peer.to_owned(), job }
}

#[test]
fn each_of_our_programs_handles_what_it_is_told_and_reports_it() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let consume = |label, peer, flags| step(label, peer, Job::Consume(&topic::SKEWED, flags));
    let steps = [
        consume("no-op", "rawt", flags("none", &[])),
        consume("no-op", "rawb", flags("none", &[])),
        consume("json", "rawb", flags("none", &["--handler", "json"])),
        consume("sleep", "bare", flags("sleep:0", &[])),
        consume("no-op", "daemonry", flags("none", &["--queue", "100"])),
        consume("json", "daemonry", flags("none", &["--handler", "json"])),
        consume("daemons", "daemonry", flags("none", &["--daemons", "2"])),
        step("paced", "rawt", Job::Follow(10_000, flags("none", &[]))),
    ];
    let mut runner = Runner::new(integration::brokers()?, Peer::ours(), directory.path())?;

    runner.fill(&steps)?;
    runner.round(&steps, 1);

    let samples = runner.into_samples();
    for Step { label, peer, .. } in &steps {
        let (good, _) = samples.of(label, peer);
        let sample = good.first().with_context(|| format!("{label}, {peer} came to nothing"))?;
        let report = sample.report.as_ref().context("a good run has a report")?;
        assert_eq!(report.n, MESSAGES, "{label}, {peer}");
        assert!(sample.start_ms.is_some_and(|ms| ms > 0.0), "{label}, {peer}");
        assert_eq!(report.p99_ms.is_some(), label == "paced", "{label}, {peer}");
    }
    Ok(())
}
