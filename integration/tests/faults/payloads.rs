//! Records of every shape, and what must become of them: a success, or a dead letter with the bytes as they were.

use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use fastrand::Rng;
use integration::checker::{Bounds, Fate, Order, Reason};
use integration::payload::Payload;
use integration::scale::Scale;
use integration::vitals::BOUNDS;
use integration::{Message, Scenario, brokers};

/// As much as a broker takes by default, with some room for what stands around it.
const LARGE: usize = (1 << 20) - 4096;
/// How many of those: the pipeline's queue, twice.
const MANY: u64 = 200;
const HEADERS: usize = 10_000;
/// The bytes that the queue may hold by default; they are in [`BOUNDS`] already.
const QUEUE: u64 = 64 << 20;

fn letter(message: Message) -> Payload {
    Payload { message, id: None, fate: Fate::Letter(Reason::Poison) }
}

fn large(id: u64, sleep_ms: u64) -> Payload {
    large_with("", id, sleep_ms)
}

fn large_with(noise: &str, id: u64, sleep_ms: u64) -> Payload {
    let filler = "x".repeat(LARGE - noise.len());
    let orders = format!("\"sleep_ms\":{sleep_ms},\"filler\":\"{noise}{filler}\"");
    Payload::obeyed(id, &format!("large-{}", id % 20), &orders)
}

/// Letters and digits: six bits of each eight are at random, nearly.
fn noise(random: &mut Rng, length: usize) -> String {
    (0..length).map(|_| random.alphanumeric()).collect()
}

fn with_headers(payload: Payload) -> Payload {
    let named = |message: Message, n: usize| message.header(format!("header-{}", n % 100), n.to_string());
    Payload { message: (0..HEADERS).fold(payload.message, named), ..payload }
}

/// Records of a MiB each that come in far less, for each of eight partitions.
struct Bomb {
    /// In a batch.
    records: u64,
    /// In a partition.
    batches: u64,
    /// Of each record so many bytes are at random: what no codec makes less of than three quarters.
    random: usize,
    /// `max.partition.fetch.bytes`, unless it is the default.
    fetch: Option<u64>,
    /// What a request brings of a partition, once it is decompressed: so many MiB.
    brought: u64,
}

impl Bomb {
    /// Has it read before handlers that are slow beside it. librdkafka decompresses all that a request brought of a partition at once. So of
    /// each partition that is in memory twice, as the former's last records wait when the next one comes; beside them what the queue holds, one
    /// that is just being decompressed, and a fifth that the allocator keeps of such large pieces.
    fn explode(&self, name: &str) -> Result<()> {
        let mut scenario = Scenario::open(&brokers()?, name, Order::Key)?;
        let mut random = Rng::with_seed(scenario.seed());
        let codecs = ["gzip", "lz4", "zstd"];
        for (partition, codec) in (0..8).zip(codecs.into_iter().cycle()) {
            for batch in 0..self.batches {
                let first = 1_000 * (u64::try_from(partition)? * self.batches + batch);
                let payload = |id| large_with(&noise(&mut random, self.random), id, 200);
                let payloads = (first..first + self.records).map(payload);
                scenario.produce_compressed(codec, Partition(partition), payloads)?;
            }
        }
        let flags = scenario.flags().with("admin", "127.0.0.1:0");
        let flags = match self.fetch {
            Some(fetch) => flags.properties(scenario.directory(), &[("max.partition.fetch.bytes", fetch)])?,
            None => flags,
        };
        let mut member = scenario.start(&flags)?;
        scenario.watch(&mut member)?;
        let brought = ((2 * 8 + 1) * self.brought) << 20;
        let memory = BOUNDS.memory + brought + (QUEUE + brought) / 5;
        scenario.watches()[0].allow(Bounds { memory, ..BOUNDS });
        let verdict = scenario.finish(vec![member], Duration::from_secs(180))?;
        verdict.ensure_clean()?;
        let peak = scenario.vitals()[0].peak(|look| look.memory).unwrap_or_default();
        let all = 8 * self.batches * self.records;
        eprintln!(
            "{name}: at most {} MiB were held of {all} MiB, decompressed; {} are allowed",
            peak >> 20,
            memory >> 20
        );
        ensure!(
            peak > BOUNDS.memory && all << 20 > memory,
            "not more than what has nothing to do with it: nothing is shown"
        );
        scenario.close()
    }
}

/// A few KiB that become many MiB once they are decompressed, where a request brings one batch of each partition.
#[test]
fn decompression_bomb() -> Result<()> {
    // Of the codec that makes them smallest such a batch, and not much more.
    Bomb { records: 12, batches: 6, random: 0, fetch: Some(2_000), brought: 12 }.explode("bomb")
}

/// A twentieth of what it becomes, under the settings as they are by default: 512 KiB of a partition at once.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn decompression_bomb_by_default() -> Result<()> {
    const FETCH: usize = 512 << 10;
    const RANDOM: usize = 64 << 10;
    let batches = Scale::of_environment()?.of(6, 25);
    let brought = u64::try_from(FETCH / (RANDOM * 3 / 4))?;
    Bomb { records: brought, batches, random: RANDOM, fetch: None, brought }.explode("bomb.default")
}

#[test]
fn payloads() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "payloads", Order::Key)?;
    let corrupt: [&[u8]; 5] = [b"{\"id\":", b"\xff\xfe\x00\xc3\x28", b"\0", b"null,", b"[[[[[[[["];
    let odd = corrupt.into_iter().map(|bytes| letter(Message::new(bytes).key("corrupt")));
    let odd = odd.chain([
        letter(Message::new("").key("empty")),
        letter(Message::new("")),
        Payload { message: Message::tombstone().key("tombstone"), id: None, fate: Fate::Success },
        Payload { message: Message::tombstone(), id: None, fate: Fate::Success },
        // Deeper than any reader goes, which must not be the end of its stack.
        letter(Message::new("[".repeat(LARGE)).key("deep")),
        with_headers(Payload::obeyed(1, "headers", "")),
        with_headers(Payload::poison(2, "headers")),
        with_headers(letter(Message::new("").key("headers"))),
    ]);
    let letters = 5 + 2 + 1 + 2;
    // Each between ordinary ones of its partition.
    for (index, payload) in (0..).zip(odd) {
        let ordinary = |n: u64| Payload::obeyed(1_000 + index * 2 + n, "ordinary", "");
        scenario.produce_to(Partition(i32::try_from(index % 8)?), [ordinary(0), payload, ordinary(1)])?;
    }
    for ids in (10_000..10_000 + MANY).collect::<Vec<_>>().chunks(20) {
        scenario.produce(ids.iter().map(|id| large(*id, 200)))?;
    }

    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let mut member = scenario.start(&flags)?;
    scenario.watch(&mut member)?;
    // Where the handlers get little of the processor the queue is full of large ones, and the client has read ahead as well: half as much, by
    // default. The allocator keeps a fifth of such large pieces.
    let ahead = QUEUE / 2;
    scenario.watches()[0].allow(Bounds { memory: BOUNDS.memory + ahead + (QUEUE + ahead) / 5, ..BOUNDS });
    let verdict = scenario.finish(vec![member], Duration::from_secs(60))?;
    verdict.ensure_clean()?;
    assert_eq!((verdict.letters, verdict.duplicates), (letters, 0), "{verdict}");
    let peak = scenario.vitals()[0].peak(|look| look.memory).unwrap_or_default();
    eprintln!("payloads: at most {} MiB were held of {MANY} MiB", peak >> 20);
    ensure!(peak > 32 << 20, "{} MiB: nothing large was held, so nothing is shown", peak >> 20);
    scenario.close()
}
