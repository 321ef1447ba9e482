//! What the system says of the process: looked at when somebody asks for the metrics, and at no other time.
//!
//! By the names that every Prometheus client uses. From `/proc`; where there is none, nothing is exposed. The crate `prometheus` could do
//! it too, but counts processor time in whole seconds.

use std::fs;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge, Registry};

use super::names::{
    PROCESS_CPU as CPU, PROCESS_FILES as FILES, PROCESS_MEMORY as MEMORY, PROCESS_START as START,
    PROCESS_THREADS as THREADS,
};

/// Ticks a second of the times in `/proc`: the same on every Linux, whatever its kernel counts in.
const TICKS: f64 = 100.0;

/// One look at the process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Look {
    cpu_seconds: f64,
    memory_bytes: i64,
    threads: i64,
    start_seconds: f64,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Process {
    cpu: Counter,
    memory: IntGauge,
    threads: IntGauge,
    files: IntGauge,
    start: Gauge,
    /// One who asks at a time, so that a second is not counted twice.
    asking: Arc<Mutex<()>>,
}

impl Process {
    /// Exposes it, where the system tells anything.
    pub(super) fn register(registry: &Registry) {
        if look().is_some() {
            registry.register(Box::new(Self::new())).expect("a process is registered once, by names of its own");
        }
    }

    fn new() -> Self {
        let well = "a metric's name is well formed";
        Self {
            cpu: Counter::new(CPU.0, CPU.1).expect(well),
            memory: IntGauge::new(MEMORY.0, MEMORY.1).expect(well),
            threads: IntGauge::new(THREADS.0, THREADS.1).expect(well),
            files: IntGauge::new(FILES.0, FILES.1).expect(well),
            start: Gauge::new(START.0, START.1).expect(well),
            asking: Arc::default(),
        }
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.cpu, &self.memory, &self.threads, &self.files, &self.start]
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _asking = self.asking.lock();
        if let Some(look) = look() {
            self.cpu.inc_by((look.cpu_seconds - self.cpu.get()).max(0.0));
            self.memory.set(look.memory_bytes);
            self.threads.set(look.threads);
            self.start.set(look.start_seconds);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            // One of them is this look at them.
            self.files.set(i64::try_from(files.count()).unwrap_or(i64::MAX).saturating_sub(1));
        }
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

fn look() -> Option<Look> {
    let read = |path| fs::read_to_string(path).ok();
    understand(&read("/proc/self/stat")?, &read("/proc/self/status")?, &read("/proc/stat")?)
}

/// Reads the process's `stat` and `status` and the system's `stat`.
fn understand(stat: &str, status: &str, system: &str) -> Option<Look> {
    // The program's name comes first, in brackets, and may hold anything.
    let after_name: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| after_name.get(index)?.parse::<f64>().ok();
    let line = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)?;
        found.split_whitespace().next()?.parse::<i64>().ok()
    };
    #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below the limit")]
    let boot = line(system, "btime ")? as f64;
    Some(Look {
        cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS,
        memory_bytes: line(status, "VmRSS:")? * 1024,
        threads: line(status, "Threads:")?,
        start_seconds: boot + ticks(19)? / TICKS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_understood_whatever_the_program_is_called() {
        let stat = "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 6551 0 2 0 1234 566 0 0 20 0 9 0 250000 123 456 18446744073709551615";
        let status = "Name:\ta) b (c\nVmRSS:\t   20480 kB\nThreads:\t9\n";
        let system = "cpu  1 2 3\nbtime 1700000000\n";
        let look = understand(stat, status, system).expect("it can be read");
        let expected = Look { cpu_seconds: 18.0, memory_bytes: 20 << 20, threads: 9, start_seconds: 1_700_002_500.0 };
        assert_eq!(look, expected);
        assert_eq!(understand("4242 (a", status, system), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn process_is_exposed_and_its_time_goes_on() {
        let metrics = super::super::Metrics::new();
        let cpu = || {
            let text = metrics.render();
            let line = text.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total ")).map(str::to_owned);
            line.expect("it is exposed").parse::<f64>().expect("a number")
        };
        let before = cpu();
        while cpu() <= before {}
        let text = metrics.render();
        for name in [MEMORY.0, THREADS.0, FILES.0, START.0] {
            assert!(text.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0")), "{name} in\n{text}");
        }
    }
}
