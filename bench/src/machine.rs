//! The machine that was measured on, without a name of it.

use std::fs;
use std::process::Command;
use std::thread;

/// Its size and what runs on it, in one line.
pub fn describe() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let mut parts = vec![
        format!("{cores} cores, shared with the broker"),
        format!("{:.0} GiB of memory", mebibytes(&memory, "MemTotal:") / 1024.0),
        format!("Linux {}", version(&kernel)),
        format!("librdkafka {librdkafka}"),
    ];
    parts.extend(said_by("rustc", &["--version"]).map(|text| format!("Rust {}", version(&text))));
    parts.extend(said_by("go", &["version"]).map(|text| format!("Go {}", version(&text))));
    parts.join(", ")
}

/// The first thing in a text that looks like a version: without what a vendor or host adds to it.
fn version(text: &str) -> String {
    let digits = text.chars().skip_while(|character| !character.is_ascii_digit());
    let version: String = digits.take_while(|character| character.is_ascii_digit() || *character == '.').collect();
    version.trim_end_matches('.').to_owned()
}

fn mebibytes(status: &str, name: &str) -> f64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_lose_what_vendors_add() {
        assert_eq!(version("6.1.0-18-amd64"), "6.1.0");
        assert_eq!(version("rustc 1.95.0 (abc 2026-01-01)"), "1.95.0");
        assert_eq!(version("go version go1.26.8 linux/amd64"), "1.26.8");
        assert_eq!(version("none"), "");
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(mebibytes("MemTotal:       2048 kB\nMemFree: 1 kB\n", "MemTotal:"), 2.0);
    }
}
