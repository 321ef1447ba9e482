//! What it costs; run by hand, in release mode, with `KAFKA_BENCH_TOPIC` (8 partitions) and `KAFKA_BENCH_COUNT`.

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
        let demand = Demand::new(
            appetite,
            64 << 20,
            member.assigned.values().map(|epoch| (*epoch, Share { queued: 0, room: appetite, brief: false })),
        );
        if let Event::Records(batches) = member.source.poll(&demand, Duration::from_secs(1)).await.expect("no trouble")
        {
            start.get_or_insert_with(std::time::Instant::now);
            polls += 1;
            got += batches.iter().map(|batch| batch.records.len()).sum::<usize>();
        }
    }
    let seconds = start.expect("some came").elapsed().as_secs_f64();
    let cpu = cpu_millis() as f64 * 1e3 / got as f64;
    eprintln!(
        "{got} records in {seconds:.2} s: {:.2} M/s, {polls} polls, {} a poll, {:.2} µs CPU a record",
        got as f64 / seconds / 1e6,
        got / polls,
        cpu
    );
    member.close().await;
}

/// Milliseconds of CPU that this process has used.
fn cpu_millis() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields = stat.rsplit(')').next().expect("fields").split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<u64>().expect("ticks") * 10).sum()
}

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn idle_cost_of_a_hundred_partitions() {
    let topic = std::env::var("KAFKA_IDLE_TOPIC").expect("a topic of 100 partitions").into();
    let mut member = Member::join(&config(&unique("idle")), &topic);
    member.until("an assignment", |member| member.assigned.len() == 100).await;
    member.linger(Duration::from_secs(2)).await;
    let before = cpu_millis();
    member.linger(Duration::from_secs(10)).await;
    eprintln!("{} ms of CPU in 10 s", cpu_millis() - before);
    member.close().await;
}

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn memory_of_a_full_budget() {
    let topic = std::env::var("KAFKA_BENCH_TOPIC").expect("a topic").into();
    let count: usize = std::env::var("KAFKA_BENCH_COUNT").expect("a count").parse().expect("a number");
    let mut member = Member::join(&config(&unique("memory")), &topic);
    member.until("an assignment", |member| member.assigned.len() == 8).await;
    let (budget, mut held, mut got) = (64 << 20, 0, 0);
    let mut queue = std::collections::VecDeque::new();
    let mut turn = 0_usize;
    while got < count {
        let free = budget - held;
        let demand = Demand::new(
            20_000,
            free,
            member.assigned.values().map(|epoch| (*epoch, Share { queued: 0, room: 20_000, brief: false })),
        );
        if let Event::Records(batches) =
            member.source.poll(&demand, Duration::from_millis(50)).await.expect("no trouble")
        {
            for record in batches.into_iter().flat_map(|batch| batch.records) {
                got += 1;
                held += record.size();
                queue.push_back(record);
            }
        }
        // A handler that is slow, and does not finish in order.
        while held * 10 > budget * 9 {
            turn += 1;
            let record = queue.swap_remove_front((turn * 7919) % queue.len()).expect("one of them");
            held -= record.size();
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    eprintln!(
        "{}",
        status
            .lines()
            .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"))
            .collect::<Vec<_>>()
            .join(" ")
    );
    member.close().await;
}
