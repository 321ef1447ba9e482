//! The examples of a daemon and of a source of one's own, as the programs they are. `cargo test` builds them; with a filter on test
//! targets, `cargo build --examples` does.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Runs an example, which must end well, and answers what it says on standard output.
fn run(name: &str, arguments: &[&str]) -> String {
    let mut path: PathBuf = std::env::current_exe().expect("a test binary");
    path.pop();
    path.pop();
    let path = path.join("examples").join(name);
    let mut example = Command::new(&path);
    let output = example.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } = output.unwrap_or_else(|error| {
        panic!("{} can't be run, build it with `cargo build --examples`: {error}", path.display())
    });
    let [said, log] = [stdout, stderr].map(|bytes| String::from_utf8(bytes).expect("it is text"));
    assert_eq!(status.code(), Some(0), "{said}{log}");
    said
}

/// The number before this text.
fn before(said: &str, text: &str) -> u64 {
    let number = said.split_once(text).and_then(|(before, _)| before.rsplit(' ').next());
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no number before `{text}` in {said}"))
}

#[test]
fn a_source_of_ones_own_goes_on_from_what_it_acknowledged() {
    let said = run("own_source", &["--quotes", "250"]);
    assert_eq!(before(&said, " quotes of"), 250, "{said}");
    assert_eq!(before(&said, " acknowledged;"), 250, "{said}");
    assert!(said.contains("the feed hung up once"), "{said}");
    assert_eq!(before(&said, " dead letters"), 3, "{said}");
}

#[test]
fn a_daemon_of_ones_own_runs_beside_a_consumer_and_is_restarted() {
    let said = run("own_daemon", &["--for", "5s"]);
    for what in [" visits", " sessions swept", " restarts of the sweeper"] {
        assert!(before(&said, what) > 0, "{said}");
    }
}
