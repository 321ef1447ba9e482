//! Two daemons in one process, and what the one that fails means for the other.

use std::time::Duration;

use anyhow::Result;
use daemonry::record::{Offset, Partition};
use integration::checker::Order;
use integration::patience::until_true;
use integration::payload::{Mix, Payload};
use integration::{Broker, BrokerOptions, Member, Message, Scenario, Topics, brokers};

use crate::side_by_side::side_by_side;

const SOON: Duration = Duration::from_secs(20);

/// The topic of the second daemon, which is also its group's name.
struct Beside {
    topics: Topics,
    topic: String,
}

impl Beside {
    fn open(bootstrap: &str, name: &str) -> Result<Self> {
        let topics = Topics::connect(bootstrap)?;
        let topic = topics.create_fresh(&format!("{name}.beside"), 2)?;
        Ok(Self { topics, topic })
    }

    /// Writes records whose handlers do what these orders say, each to both partitions.
    fn write(&self, orders: &[&str]) -> Result<()> {
        let messages: Vec<Message> = orders
            .iter()
            .zip(1..)
            .map(|(orders, id)| Payload::obeyed(id, &format!("key-{id}"), orders).message)
            .collect();
        for partition in [Partition(0), Partition(1)] {
            self.topics.produce_to(&self.topic, partition, &messages)?;
        }
        Ok(())
    }

    /// Waits until the daemon has committed all that was written.
    fn until_committed(&self, deadline: Duration) -> Result<()> {
        let group = self.topics.group(&self.topic)?;
        let ends = self.topics.ends(&self.topic)?;
        until_true(deadline, "the second daemon's commits", || {
            let committed = group.committed(&self.topic, &[Partition(0), Partition(1)])?;
            Ok(ends.iter().all(|(partition, end)| {
                committed.get(partition).map_or(Offset(0), |committed| committed.next.offset()) == *end
            }))
        })
    }

    fn close(self) -> Result<()> {
        self.topics.delete(&self.topic)
    }
}

/// Waits until a daemon of the process is in this state.
fn until_state(member: &mut Member, daemon: &str, state: &str, deadline: Duration) -> Result<()> {
    until_true(deadline, &format!("the daemon `{daemon}` {state}"), || is_state(member, daemon, state))
}

fn is_state(member: &mut Member, daemon: &str, state: &str) -> Result<bool> {
    let labels = format!("daemon_name=\"{daemon}\",state=\"{state}\"");
    Ok(member.metric("daemon_state", &labels)? > 0.0)
}

fn restarts(member: &mut Member, daemon: &str) -> Result<f64> {
    member.metric("daemon_restarts_total", &format!("daemon_name=\"{daemon}\""))
}

/// How the two daemons are members of their groups.
#[derive(Clone, Copy, Debug)]
struct Membership {
    protocol: &'static str,
    instance_id: Option<&'static str>,
}

const MEMBERSHIPS: [Membership; 4] = [
    Membership { protocol: "classic", instance_id: None },
    Membership { protocol: "classic", instance_id: Some("the-only-one") },
    Membership { protocol: "consumer", instance_id: None },
    Membership { protocol: "consumer", instance_id: Some("the-only-one") },
];

fn one_panics(membership: Membership) -> Result<()> {
    let Membership { protocol, instance_id } = membership;
    let kind = if instance_id.is_some() { "static" } else { "dynamic" };
    let mut scenario = Scenario::open(&brokers()?, &format!("restart.{protocol}.{kind}"), Order::Key)?;
    let beside = Beside::open(&brokers()?, "restart")?;
    let mut flags = scenario.flags().with("group-protocol", protocol).with("beside", &beside.topic);
    if let Some(id) = instance_id {
        flags = flags.with("instance-id", id);
    }
    let mut member = scenario.start(&flags.with("restart-ms", 6_000).with("admin", "127.0.0.1:0"))?;
    let load = scenario.load(100, Mix::default());
    scenario.until_works(&mut member, SOON)?;
    beside.write(&["", ""])?;
    beside.until_committed(SOON)?;
    until_state(&mut member, "beside", "running", SOON)?;

    beside.write(&["", "\"panic_daemon\":1", "", ""])?;
    until_state(&mut member, "beside", "restarting", SOON)?;
    let (status, readiness) = member.get("/readyz")?;
    let said = readiness.contains("beside: restarting in ")
        && readiness.contains(" s after: panicked: the record asked for a panic of its daemon");
    assert!(status == 503 && said, "{status}: {readiness}");
    assert_eq!(member.get("/livez")?.0, 200);
    scenario.until_more(50, Duration::from_secs(5))?;
    assert!(is_state(&mut member, "beside", "restarting")?, "the other one's records came after the restart");

    // No member of the former run holds the group up: its session would last for 45 s by default.
    until_state(&mut member, "beside", "running", SOON)?;
    beside.until_committed(Duration::from_secs(10))?;
    assert_eq!((restarts(&mut member, "beside")?, restarts(&mut member, "ledger")?), (1.0, 0.0));
    assert_eq!(member.get("/readyz")?.0, 200);
    let rebalances = "daemon_name=\"ledger\",kind=\"revoked\"";
    assert!(member.metric("daemon_rebalances_total", rebalances)? < 0.5, "the other one's group was disturbed");
    scenario.unload(load)?;
    let verdict = scenario.pass(vec![member], Duration::from_secs(60))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    beside.close()
}

#[test]
fn daemon_that_panics_is_restarted_while_the_other_flows() -> Result<()> {
    side_by_side(&MEMBERSHIPS, one_panics).map(drop)
}

/// One daemon fails for good by what this record says, and the process ends with 4; the other one has drained.
fn ends_with_4(name: &str, orders: &str, said: &str, restarts: usize) -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, name, Order::Key)?;
    let beside = Beside::open(&brokers()?, name)?;
    let flags = scenario.flags();
    let failing = flags.clone().with("beside", &beside.topic).with("restarts", 2).with("restart-ms", 200);
    let mut member = scenario.start(&failing)?;
    let load = scenario.load(200, Mix { slow: 60, ..Mix::default() });
    scenario.until_works(&mut member, SOON)?;
    beside.write(&["", orders, ""])?;

    // What the process ends for.
    scenario.expect_error("the record asked to be poison");
    scenario.expect_error("failed for good");
    assert_eq!(member.wait(Duration::from_secs(40))?, 4);

    let log = member.log()?;
    assert!(log.contains(said) && log.contains("ledger: drained"), "it doesn't say why: {log}");
    assert_eq!(log.matches("daemon failed, it will be restarted").count(), restarts, "{log}");
    // What the other one had begun it has ended and committed: nothing of it runs again.
    let other = scenario.start(&flags)?;
    scenario.until_more(100, SOON)?;
    scenario.unload(load)?;
    let verdict = scenario.pass(vec![other], Duration::from_secs(60))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    beside.close()
}

#[test]
fn daemon_that_fails_too_often_ends_the_process_and_the_other_drains() -> Result<()> {
    let said = "beside: failed: failed again after 2 restarts within 600s: panicked: the record asked";
    ends_with_4("restarts.exhausted", "\"panic_daemon\":1000", said, 2)
}

#[test]
fn policy_that_stops_a_daemon_is_not_restarted_and_the_other_drains() -> Result<()> {
    let said = "can't be handled and its route has no dead letters: poison: the record asked to be poison";
    ends_with_4("restarts.fatal", "\"poison\":true", said, 0)
}

#[test]
fn daemon_whose_cluster_is_down_waits_while_one_of_another_cluster_flows() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "clusters", Order::Key)?;
    let mut cluster = Broker::start(BrokerOptions::default())?;
    let beside = Beside::open(&cluster.bootstrap(), "clusters")?;
    let flags = scenario.flags().with("beside", &beside.topic).with("beside-brokers", cluster.bootstrap());
    let mut member = scenario.start(&flags.with("admin", "127.0.0.1:0"))?;
    let load = scenario.load(100, Mix::default());
    scenario.until_works(&mut member, SOON)?;
    beside.write(&["", ""])?;
    beside.until_committed(SOON)?;

    scenario.expect_broken_connections();
    cluster.kill()?;
    until_true(SOON, "the second daemon's trouble", || Ok(member.get("/readyz")?.1.contains("beside: no broker of")))?;
    scenario.until_more(200, Duration::from_secs(10))?;
    assert_eq!(member.get("/livez")?.0, 200);
    cluster.restart()?;
    beside.write(&["", ""])?;
    beside.until_committed(Duration::from_secs(40))?;

    assert_eq!((restarts(&mut member, "beside")?, restarts(&mut member, "ledger")?), (0.0, 0.0));
    scenario.unload(load)?;
    let verdict = scenario.pass(vec![member], Duration::from_secs(60))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}
