//! How fast it reads; run by hand, in release mode, with `KAFKA_BENCH_TOPIC` and `KAFKA_BENCH_COUNT`.

use std::time::Duration;

use daemonry::pipeline::demand::{Demand, Share};
use daemonry::pipeline::source::{Event, Source};

use crate::member::{Member, config, unique};

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn records_a_second() {
    let topic = std::env::var("KAFKA_BENCH_TOPIC").expect("a topic").into();
    let count: usize = std::env::var("KAFKA_BENCH_COUNT").expect("a count").parse().expect("a number");
    let appetite: usize = std::env::var("KAFKA_BENCH_APPETITE").map_or(20_000, |n| n.parse().expect("a number"));
    let mut member = Member::join(&config(&unique("bench")), &topic);
    member.until("an assignment", |member| member.assigned.len() == 8).await;
    let (mut got, mut polls) = (0, 0);
    let mut start = None;
    while got < count {
        let demand = Demand::new(appetite, 64 << 20, member.assigned.values().map(|epoch| (*epoch, Share { queued: 0, room: appetite })));
        if let Event::Records(batches) = member.source.poll(&demand, Duration::from_secs(1)).await.expect("no trouble") {
            start.get_or_insert_with(std::time::Instant::now);
            polls += 1;
            got += batches.iter().map(|batch| batch.records.len()).sum::<usize>();
        }
    }
    let seconds = start.expect("some came").elapsed().as_secs_f64();
    // SAFETY-free: read from the system's own file.
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let ticks: u64 = stat.rsplit(')').next().expect("fields").split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum();
    eprintln!("{got} records in {seconds:.2} s: {:.2} M/s, {polls} polls, {} a poll, {:.2} µs CPU a record", got as f64 / seconds / 1e6, got / polls, ticks as f64 * 1e4 / got as f64);
    member.close().await;
}
