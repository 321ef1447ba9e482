//! Commits that fail: refused in each way that brokers have, taken without an answer, or never arrived. The network between the processes and
//! their broker does it; the tests' own hands have a way of their own.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::checker::Verdict;
use integration::patience::{unix_ms, until_true};
use integration::scale::Scale;
use integration::{Broker, BrokerOptions, Commits, Proxy};

use crate::running::Running;

/// What progress may take once commits are taken again.
const BOUND: Duration = Duration::from_secs(30);
/// What handlers may take that were begun before.
const ENDS: Duration = Duration::from_secs(3);
/// How long librdkafka waits for an answer, so that it is missed in time.
const ANSWER_MS: u64 = 2_000;

/// Kafka's codes.
const NOT_COORDINATOR: i16 = 16;
const LOADING: i16 = 14;
const REBALANCING: i16 = 27;
const UNKNOWN_TOPIC: i16 = 3;
const TOO_LARGE: i16 = 12;
const NOT_AUTHORISED: i16 = 30;
const TIMED_OUT: i16 = 7;
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER: i16 = 25;

/// What processes keep of their assignments meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// All of it: nothing may run twice.
    Everything,
    /// None of it: they are told that their group has given them up, and what they could not commit runs again.
    Nothing,
}

/// Has something become of all commits of two processes for a while, over and over. Work goes on meanwhile, and in the end nothing is lost, none
/// ran twice, and no commit went back.
fn fail(name: &str, rules: &[Commits], keeps: Keeps) -> Result<Vec<Verdict>> {
    const NAME: &str = "PROXIED";
    let proxy = Proxy::start_understanding()?;
    let broker = Broker::start(BrokerOptions::default().listener_behind(NAME, proxy.port()))?;
    proxy.lead_to(&broker.listener(NAME))?;
    let mut running = Running::start_both(&broker.bootstrap(), name, |scenario, protocol, flags| {
        let flags = flags.properties(scenario.directory(), &[("socket.timeout.ms", ANSWER_MS)])?;
        let flags = flags.with("brokers", proxy.address()).with("commit-interval-ms", 200);
        // Who is told that the group doesn't know it joins as somebody new, and the group waits for the one that it was before.
        Ok(if protocol == "classic" { flags.with("session-timeout-ms", 6_000) } else { flags })
    })?;
    let mut before = Vec::new();
    for each in &mut running {
        each.scenario.expect_broken_connections();
        before.push(each.rebalances()?);
    }

    let scale = Scale::of_environment()?;
    // How long it goes on once some have met it.
    let time = Duration::from_secs(scale.of(2, 4));
    for _ in 0..scale.of(1, 5) {
        for rule in rules {
            let (met, since) = (proxy.commits_met(), unix_ms());
            proxy.have_commits(*rule);
            until_true(BOUND, &format!("commits that meet {rule:?}"), || Ok(proxy.commits_met() > met + 4))?;
            for each in running.iter_mut().filter(|_| keeps == Keeps::Everything) {
                // Handlers don't wait for commits.
                each.scenario.until_more(50, BOUND)?;
            }
            thread::sleep(time);
            proxy.have_commits(Commits::Pass);
            for each in &mut running {
                if keeps == Keeps::Nothing {
                    let lost = each.members.iter().map(integration::Member::pid);
                    lost.for_each(|pid| each.scenario.note_gone(pid, since, ENDS));
                }
                each.scenario.note_resumption(&format!("{rule:?}"), BOUND);
            }
            running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
            running.iter_mut().try_for_each(|each| each.scenario.until_committed().map(drop))?;
            // What they were told of rights is believed for as long as they are told of it only now and then.
            for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
                watch.until_ready(BOUND)?;
            }
            eprintln!("{name}: {rule:?} met {} commits", proxy.commits_met() - met);
        }
    }

    for (each, before) in running.iter_mut().zip(before) {
        let after = each.rebalances()?;
        let moved = after - before;
        ensure!(keeps == Keeps::Nothing || moved.abs() < 0.5, "{moved} rebalances for nothing");
        let mut failed = 0.0;
        for member in &mut each.members {
            let (_, page) = member.get("/metrics")?;
            let lines = page.lines().filter(|line| line.starts_with("daemon_commits_total{"));
            let lines = lines.filter(|line| !line.contains("\"success\""));
            failed += lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
        }
        ensure!(failed > 0.0, "no commit is counted as failed");
    }
    Running::pass_all(running)
}

fn fail_without_repeats(name: &str, rules: &[Commits]) -> Result<()> {
    for verdict in fail(name, rules, Keeps::Everything)? {
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

#[test]
fn commit_fails_and_may_be_tried_again() -> Result<()> {
    let codes = [LOADING, REBALANCING, TIMED_OUT, UNKNOWN_TOPIC];
    fail_without_repeats("commit-retriable", &codes.map(Commits::Refuse))
}

#[test]
fn commit_fails_for_good() -> Result<()> {
    fail_without_repeats("commit-fatal", &[NOT_AUTHORISED, TOO_LARGE].map(Commits::Refuse))
}

#[test]
fn commit_times_out() -> Result<()> {
    fail_without_repeats("commit-swallowed", &[Commits::Swallow, Commits::LoseAnswer])
}

/// The brokers take them, and their answers come late: while they are still waited for, and when nobody does any more.
#[test]
fn commit_is_answered_late() -> Result<()> {
    let late = [ANSWER_MS * 3 / 4, ANSWER_MS * 2].map(Duration::from_millis);
    fail_without_repeats("commit-late", &late.map(Commits::Delay))
}

/// The brokers took it, and say that they did not.
#[test]
fn commit_is_taken_and_said_to_have_failed() -> Result<()> {
    fail_without_repeats("commit-denied", &[LOADING, NOT_COORDINATOR, NOT_AUTHORISED].map(Commits::Deny))
}

/// The group has gone on without them, as they hear: they join it again.
#[test]
fn commit_of_another_generation() -> Result<()> {
    fail("commit-generation", &[ILLEGAL_GENERATION, UNKNOWN_MEMBER].map(Commits::Refuse), Keeps::Nothing).map(drop)
}
