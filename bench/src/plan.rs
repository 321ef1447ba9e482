//! Which programs do what, for each row.

use meter::Order;

use crate::messages::Messages;
use crate::peer::{Kind, Peer};
use crate::row::Row;
use crate::topic::{self, Topic};

/// A run of one program.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What is measured.
    pub label: String,
    /// Whose program runs.
    pub peer: String,
    /// What it does.
    pub job: Job,
}

/// What a program does in a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// It consumes what a topic has.
    Consume(&'static Topic, Flags),
    /// It consumes what is written meanwhile, so many a second.
    Follow(u32, Flags),
    /// It has so many partitions, and nothing comes.
    Idle(u16),
}

/// What a consumer is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Flags {
    /// Messages to handle.
    pub count: u64,
    /// What the handler does.
    pub work: &'static str,
    /// Handlers at once.
    pub concurrency: usize,
    /// The order to keep.
    pub order: Order,
    /// What only some programs know.
    pub more: Vec<String>,
}

impl Flags {
    fn new(count: u64) -> Self {
        Self { count, work: "none", concurrency: 8, order: Order::Partition, more: Vec::new() }
    }

    fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.more.extend([format!("--{name}"), value.to_string()]);
        self
    }
}

/// How many messages a second row W3 has, and for how long.
const RATE: u32 = 1_000;
const RATE_SECONDS: u64 = 10;
/// What the handlers of W2, and of the growth in workers, do.
const WAIT: &str = "sleep:5";

/// A round of the runs of a row, by those who can do it.
pub fn steps(row: Row, peers: &[Peer]) -> Vec<Step> {
    match row {
        Row::W1a => no_op("w1a", &topic::SMALL, peers),
        Row::Queue => queue(),
        Row::W1b => no_op("w1b", &topic::KIB, peers),
        Row::W2 => waiting(peers),
        Row::W3 => paced(peers),
        Row::W4 => skewed(peers),
        Row::Json => json(),
        Row::Idle => vec![step("idle", "daemonry", Job::Idle(100))],
        Row::Growth => growth(),
        Row::Large => large(),
        Row::Start => ["rawt", "daemonry"].map(|peer| consume("start", peer, &topic::FEW, Flags::new(1))).into(),
    }
}

fn step(label: impl Into<String>, peer: &str, job: Job) -> Step {
    Step { label: label.into(), peer: peer.to_owned(), job }
}

fn consume(label: impl Into<String>, peer: &str, topic: &'static Topic, flags: Flags) -> Step {
    step(label, peer, Job::Consume(topic, flags))
}

fn no_op(name: &str, topic: &'static Topic, peers: &[Peer]) -> Vec<Step> {
    let of = |peer: &Peer| {
        let orders = [Order::Partition, Order::Key].into_iter().filter(|order| peer.keeps(*order));
        let run = |order: Order| {
            let flags = Flags { order, ..Flags::new(topic.messages) };
            consume(format!("{name} {}", order.name()), &peer.name, topic, flags)
        };
        orders.map(run).collect::<Vec<_>>()
    };
    // What handing a message over costs shows where they come one by one.
    peers.iter().filter(|peer| peer.kind != Kind::Handing).flat_map(of).collect()
}

fn queue() -> Vec<Step> {
    let flags = |order| Flags { order, ..Flags::new(topic::SMALL.messages / 2) };
    let ours = |order: Order| {
        let flags = flags(order).with("queue", 100);
        consume(format!("queue {}", order.name()), "daemonry", &topic::SMALL, flags)
    };
    let raw = consume("queue partition", "rawt", &topic::SMALL, flags(Order::Partition));
    vec![raw, ours(Order::Partition), ours(Order::Key)]
}

/// Whoever handles a partition's messages one after the other takes 5 ms for each, eight at once: a part of them is enough.
fn waiting(peers: &[Peer]) -> Vec<Step> {
    let all = topic::WAITING.messages;
    let flags = |order| Flags { work: WAIT, concurrency: 256, order, ..Flags::new(all) };
    let of = |peer: &Peer| match peer.kind {
        Kind::Raw | Kind::Handing => Vec::new(),
        Kind::Bare => vec![consume("w2", &peer.name, &topic::WAITING, flags(Order::None))],
        _ => {
            let count = |order| match (&peer.kind, order) {
                (Kind::Go, Order::Key) => 10_000,
                (Kind::Ruststream, Order::Key) => 50_000,
                _ => all,
            };
            let run = |order: Order| {
                let flags = Flags { count: count(order), ..flags(order) };
                consume(format!("w2 {}", order.name()), &peer.name, &topic::WAITING, flags)
            };
            [Order::Key, Order::None].map(run).into()
        }
    };
    peers.iter().flat_map(of).collect()
}

fn paced(peers: &[Peer]) -> Vec<Step> {
    let flags = |order| Flags { order, ..Flags::new(u64::from(RATE) * RATE_SECONDS) };
    let run = |peer: &Peer| {
        let order = if peer.keeps(Order::Key) { Order::Key } else { Order::Partition };
        step("w3", &peer.name, Job::Follow(RATE, flags(order)))
    };
    peers.iter().filter(|peer| peer.kind != Kind::Bare).map(run).collect()
}

fn skewed(peers: &[Peer]) -> Vec<Step> {
    let flags = |count| Flags { work: "skew:5:200", concurrency: 256, order: Order::Key, ..Flags::new(count) };
    let run = |peer: &Peer| match peer.kind {
        Kind::Raw | Kind::Handing => None,
        // The one key that takes the longest, alone: nobody who keeps its order can be faster.
        Kind::Bare => {
            let hottest = Messages::of(&topic::SKEWED).hottest().len() as u64;
            let flags = Flags { concurrency: 1, ..flags(hottest) }.with("hottest-of", topic::SKEWED.name);
            Some(consume("w4", &peer.name, &topic::SKEWED, flags))
        }
        _ => Some(consume("w4", &peer.name, &topic::SKEWED, flags(topic::SKEWED.messages))),
    };
    peers.iter().filter_map(run).collect()
}

fn json() -> Vec<Step> {
    let flags = || Flags::new(topic::JSON.messages);
    let both = |peer| {
        [
            consume("no-op", peer, &topic::JSON, flags()),
            consume("json", peer, &topic::JSON, flags().with("handler", "json")),
        ]
    };
    ["rawb", "daemonry"].map(both).concat()
}

fn growth() -> Vec<Step> {
    let workers = |concurrency: usize, count| {
        let flags = Flags { work: WAIT, concurrency, order: Order::Key, ..Flags::new(count) };
        consume(format!("workers {concurrency}"), "daemonry", &topic::WAITING, flags)
    };
    let partitions_by = |peer: &str, topic: &'static Topic| {
        consume(format!("partitions {}", topic.partitions), peer, topic, Flags::new(topic.messages))
    };
    let partitions = |topic: &'static Topic| partitions_by("daemonry", topic);
    let daemons_by = |peer: &str, label: &str, count: u64, topic: &'static Topic| {
        let flags = Flags::new(count * topic.messages).with("daemons", count);
        consume(format!("daemons {count}{label}"), peer, topic, flags)
    };
    let daemons = |label: &str, count: u64, topic: &'static Topic| daemons_by("daemonry", label, count, topic);
    let one = |peer: &str| consume("daemons 1", peer, &topic::SMALL, Flags::new(topic::SMALL.messages));
    vec![
        workers(10, 10_000),
        workers(1_000, 200_000),
        workers(10_000, 200_000),
        partitions(&topic::PARTITIONS_8),
        partitions(&topic::PARTITIONS_100),
        partitions(&topic::PARTITIONS_1000),
        // How much of it is the client library's.
        partitions_by("rawb", &topic::PARTITIONS_8),
        partitions_by("rawb", &topic::PARTITIONS_1000),
        one("daemonry"),
        daemons("", 50, &topic::EACH),
        one("rawb"),
        daemons_by("rawb", "", 50, &topic::EACH),
        // For the memory: else it is what is read ahead that is measured.
        daemons(", few messages", 1, &topic::FEW),
        daemons(", few messages", 10, &topic::FEW),
        daemons(", few messages", 50, &topic::FEW),
    ]
}

fn large() -> Vec<Step> {
    let flags = Flags { work: "sleep:200", concurrency: 16, order: Order::Key, ..Flags::new(800) };
    vec![consume("large", "daemonry", &topic::LARGE, flags)]
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn all_peers() -> Vec<Peer> {
        let others = crate::peer::OTHERS.map(|(name, _)| Peer::named(name).unwrap());
        Peer::ours().into_iter().chain(others).collect()
    }

    fn labels(row: Row, peer: &str) -> Vec<String> {
        let steps = steps(row, &all_peers()).into_iter();
        steps.filter(|step| step.peer == peer).map(|step| step.label).collect()
    }

    #[test]
    fn each_runs_where_it_keeps_the_order() {
        assert_eq!(labels(Row::W1a, "daemonry"), ["w1a partition", "w1a key"]);
        assert_eq!(labels(Row::W1a, "franz"), ["w1a partition"]);
        assert_eq!(labels(Row::W1b, "rawb"), ["w1b partition"]);
        assert!(labels(Row::W1a, "bare").is_empty());
        assert_eq!(labels(Row::W2, "bare"), ["w2"]);
        assert_eq!(labels(Row::W3, "ruststream"), ["w3"]);
    }

    #[test]
    fn nobody_is_asked_for_more_than_a_topic_has() {
        for row in Row::value_variants() {
            for step in steps(*row, &all_peers()) {
                let Job::Consume(topic, flags) = &step.job else { continue };
                let readers = flags.more.iter().skip_while(|flag| *flag != "--daemons").nth(1);
                let readers: u64 = readers.map_or(1, |text| text.parse().unwrap());
                assert!(flags.count <= readers * topic.messages, "{step:?}");
            }
        }
    }

    #[test]
    fn no_two_steps_of_a_peer_share_a_label() {
        let rows = Row::value_variants().iter();
        let mut steps: Vec<_> =
            rows.flat_map(|row| steps(*row, &all_peers())).map(|step| (step.peer, step.label)).collect();
        steps.sort_unstable();
        let all = steps.len();
        steps.dedup();
        assert_eq!(steps.len(), all);
    }
}
