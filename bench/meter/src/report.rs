//! The line that a consumer prints at its end.

use serde::{Deserialize, Serialize};

/// What one run came to. Times of the CPU are those of the consumer's process.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(default)]
pub struct Report {
    /// Messages handled.
    pub n: u64,
    /// Seconds from the first handler's start to the last one's end.
    pub secs: f64,
    /// Messages a second, in that time.
    pub msgs_per_s: f64,
    /// Seconds of CPU in the program's own code, until the last message.
    pub cpu_user_s: f64,
    /// Seconds of CPU in the system, until the last message.
    pub cpu_sys_s: f64,
    /// Of both together, those used before the first message.
    pub cpu_before_first_s: f64,
    /// Seconds from the first handler's start until four fifths were handled.
    pub t80_s: f64,
    /// The largest resident set, in MiB.
    pub max_rss_mb: f64,
    /// Median of the time from the producer's clock to the handler's start, without the first tenth; of small runs only.
    pub p50_ms: Option<f64>,
    /// The same, 99 of 100.
    pub p99_ms: Option<f64>,
    /// When the first handler started, in microseconds since 1970.
    pub first_unix_us: Option<u64>,
}

impl Report {
    /// Microseconds of CPU a message, those before the first message left out.
    pub fn cpu_us(&self) -> f64 {
        (self.cpu_user_s + self.cpu_sys_s - self.cpu_before_first_s) / self.n as f64 * 1e6
    }
}
