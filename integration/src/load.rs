//! Load: records that keep coming while something happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use daemonry::record::Partition;

use crate::checker::Produced;
use crate::payload::Payload;
use crate::writer::Writer;

/// How often records are written.
const EVERY: Duration = Duration::from_millis(50);

/// A producer in the background. It writes at its rate until it is stopped; what it couldn't write in time is lost time, not caught up.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Produced>>>>,
}

impl Load {
    /// Starts to write `rate` payloads a second to `topic`, each to the partition of its key.
    pub fn start(
        bootstrap: &str,
        topic: &str,
        rate: u32,
        mut payloads: impl Iterator<Item = Payload> + Send + 'static,
    ) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), topic.to_owned());
        let (stopped, bootstrap) = (Arc::clone(&stop), bootstrap.to_owned());
        let batch = (f64::from(rate) * EVERY.as_secs_f64()).ceil() as usize;
        let thread = thread::spawn(move || {
            let mut writer = Writer::connect(&bootstrap)?;
            let mut produced = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let due = Instant::now() + EVERY;
                produced.extend(write(&mut writer, &asked, None, payloads.by_ref().take(batch))?);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Ok(produced)
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it, and gives all that it wrote.
    ///
    /// # Errors
    /// When not all of it was acknowledged.
    pub fn stop(mut self) -> Result<Vec<Produced>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it is stopped once")?;
        thread.join().map_err(|_| anyhow::anyhow!("the load's thread panicked"))?
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Writes payloads, each to `partition` or else to the partition of its key.
///
/// # Errors
/// When one is not acknowledged.
pub fn write(
    writer: &mut Writer,
    topic: &str,
    partition: Option<Partition>,
    payloads: impl IntoIterator<Item = Payload>,
) -> Result<Vec<Produced>> {
    let payloads: Vec<Payload> = payloads.into_iter().collect();
    let messages: Vec<_> = payloads.iter().map(|payload| payload.message.clone()).collect();
    let places = writer.write(topic, partition, &messages)?;
    Ok(payloads.into_iter().zip(places).map(|(payload, place)| payload.produced(place)).collect())
}
