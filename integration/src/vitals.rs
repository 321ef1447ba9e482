//! Looks at a process all the time: what it holds, and what its probes and its metrics say.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::checker::{Answer, Bounds, Counts, Look, Outage, Vitals};
use crate::member::{self, Member};
use crate::patience::{unix_ms, until};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(250);

/// What a process of a scenario may hold, with records of some hundred bytes: memory as the budget of a pipeline and a quarter of it for all the
/// rest; threads for three brokers, each client and 16 workers; and as many descriptors as they need, which was up to 142, and some more.
pub const BOUNDS: Bounds = Bounds { memory: (64 + 16) << 20, descriptors: 256, threads: 64 };

/// The looking, in the background until it is stopped or the process has ended.
#[derive(Debug)]
pub struct Watch {
    pid: u32,
    from_ms: u64,
    stop: Arc<AtomicBool>,
    looks: Arc<Mutex<Vec<Look>>>,
    outages: Vec<Outage>,
    deaf: Vec<(u64, u64)>,
    bounds: Bounds,
    thread: Option<JoinHandle<Seen>>,
}

/// What the looking itself came to.
#[derive(Debug, Default)]
struct Seen {
    /// When it saw that the process had ended.
    ended: Option<u64>,
    /// The threads that there were when there were most.
    crowd: String,
}

impl Watch {
    /// Starts to look at a process, which must have been started with `--admin`.
    ///
    /// # Errors
    /// When it doesn't say where it listens.
    pub fn start(member: &mut Member) -> Result<Self> {
        let (pid, address) = (member.pid(), member.admin_address()?);
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&looks));
        let inherited = inherited(pid)?;
        let thread = thread::spawn(move || {
            let (mut most, mut crowd) = (0, String::new());
            while !stopped.load(Ordering::Relaxed) {
                let due = Instant::now() + EVERY;
                // One that has ended holds nothing any more.
                let Ok(look) = look(pid, &address, &inherited) else { return Seen { ended: Some(unix_ms()), crowd } };
                if look.threads > most {
                    (most, crowd) = (look.threads, threads(pid));
                }
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(look);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Seen { ended: None, crowd }
        });
        let from_ms = unix_ms();
        Ok(Self {
            pid,
            from_ms,
            stop,
            looks,
            outages: Vec::new(),
            deaf: Vec::new(),
            bounds: BOUNDS,
            thread: Some(thread),
        })
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Allows other bounds.
    pub fn allow(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Notes that in this time each look must find the process unready, for this reason.
    pub fn note_outage(&mut self, from_ms: u64, to_ms: u64, said: &str) {
        self.outages.push(Outage { from_ms, to_ms, said: said.to_owned() });
    }

    /// Notes that the process need not have answered in this time.
    pub fn note_deaf(&mut self, from_ms: u64, to_ms: u64) {
        self.deaf.push((from_ms, to_ms));
    }

    /// Waits for a look that shows something.
    ///
    /// # Errors
    /// When there is none in time; says what the last one was.
    pub fn until(&self, deadline: Duration, what: &str, shows: impl Fn(&Look) -> bool) -> Result<Look> {
        let since = self.looked().len();
        let shown = until(deadline, what, || Ok(self.looked().into_iter().skip(since).find(|look| shows(look))));
        shown.with_context(|| format!("process {} looked last like {:?}", self.pid, self.looked().last()))
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// When it isn't in time.
    pub fn until_ready(&self, deadline: Duration) -> Result<()> {
        self.until(deadline, "a process that is ready", |look| said(&look.ready, 200, "")).map(drop)
    }

    /// Waits until it is not ready, for this reason.
    ///
    /// # Errors
    /// When it is in time.
    pub fn until_unready(&self, deadline: Duration, reason: &str) -> Result<()> {
        let what = format!("a process that is not ready, as `{reason}`");
        self.until(deadline, &what, |look| said(&look.ready, 503, reason)).map(drop)
    }

    fn looked(&self) -> Vec<Look> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends it, and gives all that it saw. `is_settled` says that all is finished, and the process is there.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(mut self, is_settled: bool) -> Result<Vitals> {
        self.stop.store(true, Ordering::Relaxed);
        let asked = unix_ms();
        let thread = self.thread.take().context("it is stopped once")?;
        let Seen { ended, crowd } = thread.join().map_err(|_| anyhow::anyhow!("the watch's thread panicked"))?;
        Ok(Vitals {
            pid: self.pid,
            from_ms: self.from_ms,
            to_ms: ended.map_or(asked, |ended| ended.min(asked)),
            looks: self.looked(),
            crowd,
            bounds: self.bounds,
            outages: std::mem::take(&mut self.outages),
            deaf: std::mem::take(&mut self.deaf),
            is_settled,
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn said(answer: &Answer, status: u16, text: &str) -> bool {
    answer.as_ref().is_some_and(|(code, said)| *code == status && said.contains(text))
}

/// What a process has open, by name.
fn open(pid: impl Display) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // One may be closed again by now.
    Ok(entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect())
}

/// What it has from us, as the pipes of our Kafka clients: of those there are the more, the more tests run side by side.
fn inherited(pid: u32) -> Result<HashSet<PathBuf>> {
    let ours: HashSet<PathBuf> = open("self")?.into_iter().collect();
    Ok(open(pid)?.into_iter().filter(|name| ours.contains(name)).collect())
}

fn look(pid: u32, address: &str, inherited: &HashSet<PathBuf>) -> Result<Look> {
    let from_ms = unix_ms();
    let live = member::get(address, "/livez").ok();
    let ready = member::get(address, "/readyz").ok();
    let metrics = member::get(address, "/metrics").ok();
    let counts = metrics.as_ref().map(|(_, page)| counts(page));
    // Last, so that one that has ended meanwhile is not blamed for its silence.
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("no {name} has it ended?"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().context("a number")
    };
    // Without the program's file, of which a debug build maps 64 MiB, and more with each feature.
    let memory = number("VmRSS:")?.saturating_sub(number("RssFile:")?) * 1024;
    let threads = usize::try_from(number("Threads:")?)?;
    let descriptors = open(pid)?.iter().filter(|name| !inherited.contains(*name)).count();
    Ok(Look { from_ms, unix_ms: unix_ms(), memory, descriptors, threads, live, ready, counts })
}

/// Its threads by name, as `rdk:main ×2`; those are a moment later than a look at how many they are.
fn threads(pid: u32) -> String {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut counts = BTreeMap::<String, usize>::new();
    for name in tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()) {
        *counts.entry(name.trim().to_owned()).or_default() += 1;
    }
    counts.iter().map(|(name, count)| format!("{name} ×{count}")).collect::<Vec<_>>().join(", ")
}

/// What the daemon `ledger` counts.
fn counts(page: &str) -> Counts {
    let sum = |metric: &str, label: &str| {
        let of_it = |line: &&str| line.split_once('{').is_some_and(|(name, _)| name == metric);
        let lines =
            page.lines().filter(of_it).filter(|line| line.contains(r#"daemon_name="ledger""#) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    };
    Counts {
        succeeded: sum("daemon_messages_processed_total", r#"status="success""#),
        letters: sum("daemon_dead_letters_total", ""),
        retries: sum("daemon_retries_total", ""),
        lag: sum("daemon_lag_messages", ""),
    }
}
