//! What is counted while messages are handled.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::payload::{self, now_us};
use crate::report::Report;
use crate::usage::Usage;

/// Up to so many messages, each one's latency is kept.
const LATENCIES: u64 = 250_000;

/// The counts of one run. Handlers call it from any thread.
#[derive(Debug)]
pub struct Meter {
    count: u64,
    started: AtomicU64,
    done: AtomicU64,
    first: OnceLock<First>,
    t80: OnceLock<Duration>,
    end: OnceLock<(Duration, Usage)>,
    latencies_us: Vec<AtomicU32>,
}

#[derive(Debug)]
struct First {
    at: Instant,
    unix_us: u64,
    usage: Usage,
}

impl Meter {
    /// For a run of `count` messages.
    pub fn new(count: u64) -> Self {
        Self::with_latencies(count, if count <= LATENCIES { count } else { 0 })
    }

    /// The same for a handler that doesn't see a message's time.
    pub fn without_latencies(count: u64) -> Self {
        Self::with_latencies(count, 0)
    }

    fn with_latencies(count: u64, kept: u64) -> Self {
        Self {
            count,
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            first: OnceLock::new(),
            t80: OnceLock::new(),
            end: OnceLock::new(),
            latencies_us: (0..kept).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// A handler has been entered.
    pub fn start(&self, payload: &[u8]) {
        let index = self.started.fetch_add(1, Ordering::Relaxed);
        if index == 0 {
            let first = || First { at: Instant::now(), unix_us: now_us(), usage: Usage::now() };
            self.first.get_or_init(first);
        }
        if let Some(latency) = usize::try_from(index).ok().and_then(|index| self.latencies_us.get(index)) {
            let us = now_us().saturating_sub(payload::field(payload, payload::SENT_US));
            latency.store(u32::try_from(us).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }

    /// A handler is done; true where that was the last message, or one after it.
    pub fn done(&self) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done == self.count * 8 / 10 {
            self.t80.get_or_init(|| self.since_first());
        }
        if done == self.count {
            self.end.get_or_init(|| (self.since_first(), Usage::now()));
        }
        done >= self.count
    }

    fn since_first(&self) -> Duration {
        self.first.get().map_or(Duration::ZERO, |first| first.at.elapsed())
    }

    /// What the run came to, once its last message is done.
    pub fn report(&self) -> Option<Report> {
        let (first, (time, usage)) = (self.first.get()?, self.end.get()?);
        let secs = time.as_secs_f64();
        let mut latencies: Vec<u32> =
            self.latencies_us.iter().skip(self.latencies_us.len() / 10).map(|us| us.load(Ordering::Relaxed)).collect();
        latencies.sort_unstable();
        let percentile = |part: usize| latencies.get(latencies.len() * part / 100).map(|us| f64::from(*us) / 1e3);
        Some(Report {
            n: self.count,
            secs,
            msgs_per_s: (self.count as f64 / secs).round(),
            cpu_user_s: usage.user,
            cpu_sys_s: usage.system,
            cpu_before_first_s: first.usage.user + first.usage.system,
            t80_s: self.t80.get().map_or(0.0, Duration::as_secs_f64),
            max_rss_mb: (usage.peak_mib * 10.0).round() / 10.0,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            first_unix_us: Some(first.unix_us),
        })
    }

    /// Prints that as one line of JSON.
    #[allow(clippy::print_stdout, reason = "the line is what such a program is for")]
    pub fn print(&self) {
        if let Some(report) = self.report() {
            println!("{}", serde_json::to_string(&report).expect("numbers and nothing else are JSON"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_reported_once_its_last_message_is_done() {
        let meter = Meter::new(10);
        let mut payload = String::new();
        for number in 0..10 {
            assert_eq!(meter.report(), None);
            payload::write(&mut payload, 100, number, 0, number);
            meter.start(payload.as_bytes());
            assert_eq!(meter.done(), number == 9);
        }

        let report = meter.report().unwrap();

        assert_eq!(report.n, 10);
        assert!(report.t80_s <= report.secs);
        assert!(report.p99_ms.unwrap() < 60_000.0, "{report:?}");
        assert!(report.first_unix_us.unwrap() <= now_us());
        assert!(report.max_rss_mb > 0.0);
    }

    #[test]
    fn many_messages_have_no_latencies() {
        let meter = Meter::new(LATENCIES + 1);
        for _ in 0..=LATENCIES {
            meter.start(b"");
            meter.done();
        }
        assert_eq!(meter.report().unwrap().p50_ms, None);
    }
}
