//! The committed reference of the configuration is the one that the types make.

/// Set to rewrite it: `DAEMONRY_BLESS=1 cargo test -p daemonry --test config_reference`.
const BLESS: &str = "DAEMONRY_BLESS";

#[test]
fn committed_reference_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
    let made = daemonry::config::reference();
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(path, &made).expect("it can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/config.md is not what the types make: run this test with {BLESS}=1, and commit it"
    );
}
