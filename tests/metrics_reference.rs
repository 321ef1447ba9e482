//! The committed reference of the metrics is the one that the instruments make.

/// Set to rewrite it: `DAEMONRY_BLESS=1 cargo test -p daemonry --test metrics_reference`.
const BLESS: &str = "DAEMONRY_BLESS";

// Elsewhere the system tells nothing of the process.
#[cfg(target_os = "linux")]
#[test]
fn committed_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let made = daemonry::metrics::reference();
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(path, &made).expect("it can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/metrics.md is not what the instruments make: run this test with {BLESS}=1, and commit it"
    );
}
