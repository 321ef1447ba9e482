//! Records of every shape, and what must become of them: a success, or a dead letter with the bytes as they were.

use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use integration::checker::{Bounds, Fate, Order};
use integration::payload::Payload;
use integration::vitals::BOUNDS;
use integration::{Message, Scenario, brokers};

/// As much as a broker takes by default, with some room for what stands around it.
const LARGE: usize = (1 << 20) - 4096;
/// How many of those: the pipeline's queue, twice.
const MANY: u64 = 200;
const HEADERS: usize = 10_000;

fn letter(message: Message) -> Payload {
    Payload { message, id: None, fate: Fate::Letter }
}

fn large(id: u64, sleep_ms: u64) -> Payload {
    let filler = "x".repeat(LARGE);
    Payload::obeyed(id, &format!("large-{}", id % 20), &format!("\"sleep_ms\":{sleep_ms},\"filler\":\"{filler}\""))
}

fn with_headers(payload: Payload) -> Payload {
    let named = |message: Message, n: usize| message.header(format!("header-{}", n % 100), n.to_string());
    Payload { message: (0..HEADERS).fold(payload.message, named), ..payload }
}

/// A few KiB that become many MiB once they are decompressed, before handlers that are slow beside it. librdkafka does that with all that a
/// request brought of a partition, which is a batch here. So of each partition one is in memory whose last records wait, and the next one;
/// beside them what the queue holds, one that is just being decompressed, and a fifth that the allocator keeps of such large pieces.
#[test]
fn decompression_bomb() -> Result<()> {
    /// Of a MiB each, in a batch.
    const RECORDS: u64 = 12;
    const BATCHES: u64 = 6;
    /// Bytes of a partition that a request brings: of the codec that makes them smallest such a batch, and not much more.
    const FETCH: u64 = 2_000;
    /// The bytes that the queue may hold by default; they are in [`BOUNDS`] already.
    const QUEUE: u64 = 64 << 20;
    let mut scenario = Scenario::open(&brokers()?, "bomb", Order::Key)?;
    let codecs = ["gzip", "lz4", "zstd"];
    for (partition, codec) in (0..8).zip(codecs.into_iter().cycle()) {
        for batch in 0..BATCHES {
            let ids = 1_000 * (u64::try_from(partition)? * BATCHES + batch)..;
            scenario.produce_compressed(
                codec,
                Partition(partition),
                ids.take(RECORDS as usize).map(|id| large(id, 200)),
            )?;
        }
    }
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let flags = flags.properties(scenario.directory(), &[("max.partition.fetch.bytes", FETCH)])?;
    let mut member = scenario.start(&flags)?;
    scenario.watch(&mut member)?;
    let batches = ((2 * 8 + 1) * RECORDS) << 20;
    scenario.watches()[0].allow(Bounds { memory: BOUNDS.memory + batches + (QUEUE + batches) / 5, ..BOUNDS });
    let verdict = scenario.finish(vec![member], Duration::from_secs(90))?;
    verdict.ensure_clean()?;
    let peak = scenario.vitals()[0].peak(|look| look.memory).unwrap_or_default();
    eprintln!("bomb: at most {} MiB were held of {} MiB, decompressed", peak >> 20, 8 * BATCHES * RECORDS);
    scenario.close()
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
        scenario.produce(ids.iter().map(|id| large(*id, 20)))?;
    }

    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let mut member = scenario.start(&flags)?;
    scenario.watch(&mut member)?;
    let verdict = scenario.finish(vec![member], Duration::from_secs(60))?;
    verdict.ensure_clean()?;
    assert_eq!((verdict.letters, verdict.duplicates), (letters, 0), "{verdict}");
    let peak = scenario.vitals()[0].peak(|look| look.memory).unwrap_or_default();
    eprintln!("payloads: at most {} MiB were held of {MANY} MiB", peak >> 20);
    ensure!(peak > 32 << 20, "{} MiB: nothing large was held, so nothing is shown", peak >> 20);
    scenario.close()
}
