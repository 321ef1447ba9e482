//! What this process has used so far, as Linux tells it.

use std::fs;

/// CPU time and memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Seconds in its own code.
    pub(crate) user: f64,
    /// Seconds in the system, on its behalf.
    pub(crate) system: f64,
    /// The largest resident set so far, in MiB.
    pub(crate) peak_mib: f64,
}

impl Usage {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // Behind the name, which stands in brackets; the first field there is the third.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        // In ticks of 10 ms, as Linux has it everywhere.
        let seconds = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0);
        Self { user: seconds(11), system: seconds(12), peak_mib: kib / 1024.0 }
    }
}
